"""A definition read for what a guest needs, and for what ties it to its host."""

import pytest

from hamon.backends.libvirt.definition import (
    DefinitionError,
    SharedStorage,
    is_of_nova,
    read_definition,
    to_entry,
)
from hamon.model.guest import NotMovable, PowerState
from hamon.model.host import DomainState
from hamon.model.names import GuestId
from hamon.ports.hypervisor import Domain

GUEST = GuestId("11111111-1111-4111-8111-111111111111")
SHARED = SharedStorage(paths=("/srv/guests", "/dev/mapper/san"), pools=("images",))


def domain(devices: str = "", os: str = "", other: str = "") -> str:
    """A domain with one shared disk and whatever else is asked for."""
    return f"""\
<domain type="kvm"><name>web</name><uuid>{GUEST}</uuid>
<memory unit="KiB">1048577</memory><vcpu current="2">4</vcpu>{other}
<os><type arch="x86_64" machine="q35">hvm</type>{os}</os>
<devices><disk type="file" device="disk"><source file="/srv/guests/web.qcow2"/></disk>
{devices}</devices></domain>"""


def ties(definition: str) -> tuple[NotMovable, ...]:
    """What ties the guest to its host."""
    return read_definition(definition, SHARED).ties


def test_definition__plain__tells_what_the_guest_needs() -> None:
    """The scheduler sees memory rounded up, and virtual CPUs as they start."""
    facts = read_definition(
        domain(
            '<interface type="network"><source network="lan"/></interface>'
            '<interface type="bridge"><source bridge="br0"/></interface>'
            '<disk type="volume" device="disk"><source pool="images" volume="a"/></disk>',
            os="<kernel>/boot/guest</kernel>",
            other='<cpu mode="custom"><model>Skylake-Server</model></cpu>',
        ),
        SHARED,
    )

    assert (GUEST, "web", 1025, 2) == (facts.guest, facts.name, facts.ram_mib, facts.vcpus)
    assert ("x86_64", "kvm/Skylake-Server") == (facts.architecture, facts.cpu_model)
    assert ("lan", "bridge:br0") == facts.networks
    assert ("images",) == facts.pools
    assert ("/srv/guests/web.qcow2",) == facts.disks
    assert ("/boot/guest",) == facts.files
    assert () == facts.ties


def test_definition__metadata_of_hamon__is_obeyed() -> None:
    """An operator opts out, names a group and a priority in the domain itself."""
    facts = read_definition(
        domain(
            other='<metadata><h:guest xmlns:h="urn:hamon:guest:1" protect="no"'
            ' anti-affinity="db" priority="5"/></metadata>'
        ),
        SHARED,
    )

    assert ("db", {"hamon:priority": "5"}) == (facts.anti_affinity, facts.choices)
    assert (NotMovable.OPTED_OUT,) == facts.ties


@pytest.mark.parametrize(
    ("devices", "tie"),
    [
        ('<disk type="file"><source file="/var/a.img"/></disk>', NotMovable.LOCAL_DISK),
        ('<disk type="file"><source file="/srv/guests/../a"/></disk>', NotMovable.LOCAL_DISK),
        ('<disk type="file"><source file="/srv/guests-2/a"/></disk>', NotMovable.LOCAL_DISK),
        ('<disk type="block"><source dev="/dev/sdb"/></disk>', NotMovable.LOCAL_DISK),
        ('<disk type="volume"><source pool="local" volume="a"/></disk>', NotMovable.LOCAL_DISK),
        ('<disk type="novelty"><source file="/srv/guests/a"/></disk>', NotMovable.LOCAL_DISK),
        (
            (
                '<disk type="file"><source file="/srv/guests/a"/><backingStore type="file">'
                '<source file="/var/base.img"/></backingStore></disk>'
            ),
            NotMovable.LOCAL_DISK,
        ),
        ('<filesystem type="mount"><source dir="/home"/></filesystem>', NotMovable.LOCAL_DISK),
        ('<hostdev mode="subsystem" type="pci"/>', NotMovable.HOST_DEVICE),
        ('<interface type="hostdev"/>', NotMovable.HOST_DEVICE),
        ('<disk type="nvme"><source type="pci"/></disk>', NotMovable.HOST_DEVICE),
        ('<tpm><backend type="passthrough"/></tpm>', NotMovable.HOST_DEVICE),
        (
            (
                '<disk type="network"><auth username="u"><secret type="ceph"/></auth>'
                '<source protocol="rbd" name="a/b"/></disk>'
            ),
            NotMovable.SECRET,
        ),
        (
            (
                '<disk type="file"><source file="/srv/guests/a"><encryption format="luks"/>'
                "</source></disk>"
            ),
            NotMovable.SECRET,
        ),
        ('<tpm><backend type="emulator" version="2.0"/></tpm>', NotMovable.TPM_STATE),
    ],
)
def test_device__bound_to_this_host__is_named(devices: str, tie: NotMovable) -> None:
    """What cannot move is known beforehand, with the reason."""
    assert (tie,) == ties(domain(devices))


@pytest.mark.parametrize(
    "devices",
    [
        '<disk type="file" device="cdrom"/>',
        '<disk type="block"><source dev="/dev/mapper/san/lun1"/></disk>',
        '<disk type="network"><source protocol="rbd" name="a/b"/></disk>',
    ],
)
def test_device__reachable_everywhere__is_no_tie(devices: str) -> None:
    """Empty drives, network disks and shared devices move along."""
    assert () == ties(domain(devices))


@pytest.mark.parametrize(
    ("os", "is_tied"),
    [
        ("<nvram>/var/lib/libvirt/qemu/nvram/web.fd</nvram>", True),
        ("<nvram>/srv/guests/web.fd</nvram>", False),
        ('<loader readonly="yes" type="pflash">/usr/share/OVMF.fd</loader>', True),
        ('<loader type="pflash" stateless="yes">/usr/share/OVMF.fd</loader>', False),
    ],
)
def test_nvram__outside_shared_storage__ties(os: str, *, is_tied: bool) -> None:
    """Also where libvirt would make the file only at the first start."""
    assert ((NotMovable.NVRAM,) if is_tied else ()) == ties(domain(os=os))


@pytest.mark.parametrize(
    "definition",
    [
        "",
        "<domain",
        "<network/>",
        "<!DOCTYPE domain [<!ENTITY a 'b'>]><domain/>",
        domain().replace(GUEST, "not-a-uuid"),
        domain().replace("1048577", "much"),
        domain().replace('arch="x86_64" ', ""),
    ],
)
def test_definition__broken__is_refused(definition: str) -> None:
    """Nothing is guessed about a guest."""
    with pytest.raises(DefinitionError):
        read_definition(definition, SHARED)


def test_entry__of_a_transient_domain_with_saved_memory__says_both() -> None:
    """What only libvirt knows is added to what the definition says."""
    entry = to_entry(
        Domain(
            guest=GUEST,
            name="web",
            state=DomainState.RUNNING,
            is_persistent=False,
            definition=domain(),
            has_managed_save=True,
        ),
        PowerState.RUNNING,
        SHARED,
    )

    assert (NotMovable.MANAGED_SAVE, NotMovable.TRANSIENT) == entry.not_movable
    assert not entry.is_protected


@pytest.mark.parametrize(
    ("namespace", "is_novas"),
    [
        ("http://openstack.org/xmlns/libvirt/nova/1.0", True),
        ("http://openstack.org/xmlns/libvirt/nova/1.1", True),
        ("http://openstack.org/xmlns/libvirt/neutron/1.1", False),
    ],
)
def test_owner__nova_or_not__is_told_by_the_metadata(namespace: str, *, is_novas: bool) -> None:
    """Both namespaces that Nova has used; a stranger's element is none of its."""
    made = domain(other=f'<metadata><n:instance xmlns:n="{namespace}"/></metadata>')

    assert is_novas is is_of_nova(made)


def test_owner__no_mark_or_no_domain__is_not_nova() -> None:
    """What Nova has not marked is left alone."""
    assert not is_of_nova(domain())
    assert not is_of_nova("rubbish")
