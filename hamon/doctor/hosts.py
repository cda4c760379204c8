"""The hosts: whether each is looked after, by what, and which of its guests are not. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from hamon.doctor.finding import Finding, fault, good, warning
from hamon.evacuator.choices import policy_of_entry
from hamon.model.host import HostSelf, HostSpec, HostState
from hamon.model.policy import Backend
from hamon.model.readings import same_system
from hamon.model.stored import StoredCluster, StoredHost
from hamon.settings.values import Settings

AREA = "hosts"
GUESTS = "guests"
CONTROLLERS = "controllers"


def examine(settings: Settings, stored: StoredCluster, version: str) -> list[Finding]:
    """Say what is missing for every host to be protected, and what is.

    Args:
        settings: the controller's.
        stored: the cluster as ZooKeeper holds it.
        version: of this hamon.
    """
    found = [*_controllers(settings, stored, version)]
    well = 0
    for spec in settings.hosts:
        troubles = list(_of_host(settings, spec, stored.hosts.get(spec.name), version))
        found += troubles
        well += not troubles
    found.append(good(AREA, f"{well} of {len(settings.hosts)} hosts are looked after"))
    strangers = sorted(stored.hosts.keys() - {spec.name for spec in settings.hosts})
    for name in strangers:
        advice = f"put it into {settings.hosts_dir}, or run `hamon host remove {name}`"
        found.append(warning(AREA, f"{name} is enrolled and not configured", advice))
    found += _guests(settings, stored)
    return found


def _controllers(settings: Settings, stored: StoredCluster, version: str) -> Iterator[Finding]:
    if not stored.controllers:
        yield fault(CONTROLLERS, "no daemon is registered", "systemctl enable --now hamon")
        return
    if stored.leader is None:
        yield fault(
            CONTROLLERS, "nobody leads", "`journalctl -u hamon` on the controllers says why"
        )
    if len(stored.controllers) == 1:
        advice = "with two or three, one may fail, and one can second what another sees"
        yield warning(CONTROLLERS, "there is one controller only", advice)
    for name, seen in sorted(stored.controllers.items()):
        if seen.policy_hash and seen.policy_hash != settings.digest:
            advice = "make hamon.toml and hosts.d the same on all controllers, and reload"
            yield warning(CONTROLLERS, f"{name} goes by another configuration", advice)
        elif seen.version != version:
            yield warning(CONTROLLERS, f"{name} runs version {seen.version}, this is {version}")
        else:
            leads = ", it leads" if name == stored.leader else ""
            yield good(CONTROLLERS, f"{name} runs version {seen.version}{leads}")
    if not stored.control.value.is_armed:
        why = stored.control.value.reason
        yield warning(CONTROLLERS, f"hamon is disarmed: {why}", "`hamon arm` ends it")


def _of_host(
    settings: Settings, spec: HostSpec, host: StoredHost | None, version: str
) -> Iterator[Finding]:
    """Say what is wrong with one host."""
    name = spec.name
    yield from _of_spec(settings, spec)
    if host is None:
        yield fault(AREA, f"{name} is not enrolled yet", "a leader enrols it when it takes office")
        return
    if spec.agentless:
        yield warning(AREA, f"{name} has no agent", "it is never fenced by itself (docs/nova.md)")
        return
    seen, record = host.self_.value, host.record.value
    if seen is None:
        advice = "install hamon-agent there, with its own identity in ZooKeeper"
        yield fault(AREA, f"{name} has never registered: nobody would notice its death", advice)
        return
    if host.session is None:
        yield fault(AREA, f"{name} has no session", "systemctl status hamon-agent, on the host")
    if record is not None and record.state is not HostState.UP:
        advice = f"`hamon explain {name}` says why"
        yield warning(AREA, f"{name} is {record.state} ({record.reason})", advice)
    if not host.is_attended:
        advice = "systemctl status hamon-agent-guests, on the host; is the libvirt hook installed?"
        yield fault(AREA, f"{name}: its guests process has no session", advice)
    elif host.domains is None or not host.domains.is_healthy:
        yield fault(AREA, f"{name}: libvirt does not answer", "systemctl status libvirtd, there")
    if seen.agent_version and seen.agent_version != version:
        yield warning(AREA, f"{name}: its agent is version {seen.agent_version}, this is {version}")
    yield from _of_self(spec, seen)
    if host.checks is not None and host.checks.boot_id == seen.boot_id:
        for check, why in sorted(host.checks.failed.items()):
            yield warning(AREA, f"{name}: {check}: {why}")


def _of_self(spec: HostSpec, seen: HostSelf) -> Iterator[Finding]:
    """Compare what a host says of itself with what is configured."""
    name = spec.name
    if spec.product_uuid and seen.product_uuid:
        if not same_system(spec.product_uuid, seen.product_uuid):
            why = f"{name} says it is machine {seen.product_uuid}, hosts.d says {spec.product_uuid}"
            yield fault(AREA, why, "its BMC may be another machine's: correct product_uuid")
    elif not spec.product_uuid and not seen.product_uuid:
        advice = "set product_uuid (dmidecode -s system-uuid), so that no other machine is cut off"
        yield warning(AREA, f"{name}: nobody knows which machine its BMC must answer for", advice)
    for plane in spec.planes:
        told = seen.addresses.get(plane.plane)
        if told is not None and told != plane.address:
            why = f"{name}: plane {plane.plane} is {plane.address} in hosts.d, {told} on the host"
            yield fault(AREA, why, "the two must be the same, or its silence is believed")


def _of_spec(settings: Settings, spec: HostSpec) -> Iterator[Finding]:
    name = spec.name
    if not spec.fence:
        advice = "without one an operator has to say that it is dead: `hamon confirm-down`"
        yield fault(AREA, f"{name} has no fence device", advice)
    if len(spec.planes) == 1:
        advice = "with a second one a cut network is told from a dead host"
        yield warning(AREA, f"{name} is looked at over one network only", advice)
    labels = settings.policy.holds.domain_labels
    if labels and not set(labels) & spec.labels.keys():
        yield warning(AREA, f"{name} has none of the labels {', '.join(labels)}: no failure domain")


def _guests(settings: Settings, stored: StoredCluster) -> Iterator[Finding]:
    if settings.policy.backend is Backend.NOVA:
        return
    why: Counter[str] = Counter()
    protected = 0
    for host in stored.hosts.values():
        for entry in host.inventory.values():
            known = policy_of_entry(entry, settings.policy.evacuation)
            if entry.not_movable:
                why.update(map(str, entry.not_movable))
            elif known.is_opted_out:
                why["opted out"] += 1
            else:
                protected += 1
    yield good(GUESTS, f"{protected} are protected")
    for reason, count in sorted(why.items()):
        advice = "`hamon host show HOST` names them"
        yield warning(GUESTS, f"{count} stay with their host when it dies: {reason}", advice)
