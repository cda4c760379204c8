from collections.abc import Callable
from typing import Any, TypeVar

_T = TypeVar("_T")

_RawError = tuple[int, int, str, int, str, str | None, str | None, int, int]
_HandleCallback = Callable[[int, int, int, _T], None]
_TimerCallback = Callable[[int, _T], None]

class libvirtError(Exception):
    err: _RawError | None
    def __init__(self, defmsg: str) -> None: ...
    def get_error_code(self) -> int | None: ...
    def get_error_domain(self) -> int | None: ...
    def get_error_message(self) -> str | None: ...
    def get_error_level(self) -> int | None: ...
    def get_str1(self) -> str | None: ...
    def get_str2(self) -> str | None: ...
    def get_str3(self) -> str | None: ...
    def get_int1(self) -> int | None: ...
    def get_int2(self) -> int | None: ...

def getVersion(name: str | None = None) -> int: ...
def open(name: str | None = None) -> virConnect: ...
def openReadOnly(name: str | None = None) -> virConnect: ...
def openAuth(uri: str, auth: list[Any], flags: int | None = 0) -> virConnect: ...
def registerErrorHandler(f: Callable[[_T, _RawError], None] | None, ctx: _T) -> int: ...
def virEventAddHandle(fd: int, events: int, cb: _HandleCallback[_T], opaque: _T) -> int: ...
def virEventAddTimeout(timeout: int, cb: _TimerCallback[_T], opaque: _T) -> int: ...
def virEventInvokeFreeCallback(opaque: Any) -> None: ...
def virEventRegisterDefaultImpl() -> int: ...
def virEventRegisterImpl(
    addHandle: Callable[[int, int, _HandleCallback[_T], _T], int],
    updateHandle: Callable[[int, int], None],
    removeHandle: Callable[[int], int],
    addTimeout: Callable[[int, _TimerCallback[_T], _T], int],
    updateTimeout: Callable[[int, int], None],
    removeTimeout: Callable[[int], int],
) -> None: ...
def virEventRemoveHandle(watch: int) -> int: ...
def virEventRemoveTimeout(timer: int) -> int: ...
def virEventRunDefaultImpl() -> int: ...
def virEventUpdateHandle(watch: int, events: int) -> None: ...
def virEventUpdateTimeout(timer: int, timeout: int) -> None: ...

# Questions answered with an int: 1 yes, 0 no. Lists of numbers stand for C structures.

class virConnect:
    def close(self) -> int: ...
    def isAlive(self) -> int: ...
    def isEncrypted(self) -> int: ...
    def isSecure(self) -> int: ...
    def setKeepAlive(self, interval: int, count: int) -> int: ...
    def registerCloseCallback(
        self, cb: Callable[[virConnect, int, _T], None], opaque: _T
    ) -> int: ...
    def unregisterCloseCallback(self) -> None: ...
    def getHostname(self) -> str: ...
    def getURI(self) -> str: ...
    def getType(self) -> str: ...
    def getVersion(self) -> int: ...
    def getLibVersion(self) -> int: ...
    # CPU model, MiB of memory, CPUs, MHz, NUMA nodes, sockets, cores a socket, threads a core.
    def getInfo(self) -> list[Any]: ...
    def getCapabilities(self) -> str: ...
    def getDomainCapabilities(
        self,
        emulatorbin: str | None = None,
        arch: str | None = None,
        machine: str | None = None,
        virttype: str | None = None,
        flags: int | None = 0,
    ) -> str: ...
    def getSysinfo(self, flags: int | None = 0) -> str: ...
    def getMemoryStats(self, cellNum: int, flags: int | None = 0) -> dict[str, int]: ...
    def getFreeMemory(self) -> int: ...
    def getMaxVcpus(self, type: str | None) -> int: ...
    def compareCPU(self, xmlDesc: str, flags: int | None = 0) -> int: ...
    def compareHypervisorCPU(
        self,
        emulator: str | None,
        arch: str | None,
        machine: str | None,
        virttype: str | None,
        xmlCPU: str,
        flags: int | None = 0,
    ) -> int: ...
    def baselineCPU(self, xmlCPUs: list[str], flags: int | None = 0) -> str: ...
    def listAllDomains(self, flags: int | None = 0) -> list[virDomain]: ...
    def listDomainsID(self) -> list[int]: ...
    def listDefinedDomains(self) -> list[str]: ...
    def numOfDomains(self) -> int: ...
    def numOfDefinedDomains(self) -> int: ...
    def lookupByID(self, id: int) -> virDomain: ...
    def lookupByName(self, name: str) -> virDomain: ...
    def lookupByUUID(self, uuid: bytes) -> virDomain: ...
    def lookupByUUIDString(self, uuidstr: str) -> virDomain: ...
    def defineXML(self, xml: str) -> virDomain: ...
    def defineXMLFlags(self, xml: str, flags: int | None = 0) -> virDomain: ...
    def createXML(self, xmlDesc: str, flags: int | None = 0) -> virDomain: ...
    def listAllNetworks(self, flags: int | None = 0) -> list[virNetwork]: ...
    def networkLookupByName(self, name: str) -> virNetwork: ...
    def networkDefineXML(self, xml: str) -> virNetwork: ...
    def listAllStoragePools(self, flags: int | None = 0) -> list[virStoragePool]: ...
    def storagePoolLookupByName(self, name: str) -> virStoragePool: ...
    def storagePoolLookupByTargetPath(self, path: str) -> virStoragePool: ...
    def storagePoolDefineXML(self, xml: str, flags: int | None = 0) -> virStoragePool: ...
    def storageVolLookupByPath(self, path: str) -> virStorageVol: ...
    def listAllSecrets(self, flags: int | None = 0) -> list[virSecret]: ...
    def secretLookupByUUIDString(self, uuidstr: str) -> virSecret: ...
    # The arguments of the callback depend on eventID: connection, domain, those of the event,
    # opaque.
    def domainEventRegisterAny(
        self, dom: virDomain | None, eventID: int, cb: Callable[..., object], opaque: object
    ) -> int: ...
    def domainEventDeregisterAny(self, callbackID: int) -> None: ...
    def getAllDomainStats(
        self, stats: int | None = 0, flags: int | None = 0
    ) -> list[tuple[virDomain, dict[str, Any]]]: ...
    def domainListGetStats(
        self, doms: list[virDomain], stats: int | None = 0, flags: int | None = 0
    ) -> list[tuple[virDomain, dict[str, Any]]]: ...

class virDomain:
    def connect(self) -> virConnect: ...
    def ID(self) -> int: ...
    def OSType(self) -> str: ...
    def UUID(self) -> bytes: ...
    def UUIDString(self) -> str: ...
    def name(self) -> str: ...
    # State, KiB of memory at most, KiB now, virtual CPUs, ns of CPU time.
    def info(self) -> list[int]: ...
    # State and reason.
    def state(self, flags: int | None = 0) -> list[int]: ...
    def isActive(self) -> int: ...
    def isPersistent(self) -> int: ...
    def isUpdated(self) -> int: ...
    def XMLDesc(self, flags: int | None = 0) -> str: ...
    def create(self) -> int: ...
    def createWithFlags(self, flags: int | None = 0) -> int: ...
    def destroy(self) -> int: ...
    def destroyFlags(self, flags: int | None = 0) -> int: ...
    def shutdown(self) -> int: ...
    def shutdownFlags(self, flags: int | None = 0) -> int: ...
    def reboot(self, flags: int | None = 0) -> int: ...
    def reset(self, flags: int | None = 0) -> int: ...
    def suspend(self) -> int: ...
    def resume(self) -> int: ...
    def undefine(self) -> int: ...
    def undefineFlags(self, flags: int | None = 0) -> int: ...
    def autostart(self) -> int: ...
    def setAutostart(self, autostart: int) -> int: ...
    def hasManagedSaveImage(self, flags: int | None = 0) -> int: ...
    def managedSave(self, flags: int | None = 0) -> int: ...
    def managedSaveRemove(self, flags: int | None = 0) -> int: ...
    def metadata(self, type: int, uri: str | None, flags: int | None = 0) -> str: ...
    def setMetadata(
        self,
        type: int,
        metadata: str | None,
        key: str | None,
        uri: str | None,
        flags: int | None = 0,
    ) -> int: ...
    def maxMemory(self) -> int: ...
    def maxVcpus(self) -> int: ...
    def memoryStats(self) -> dict[str, int]: ...
    # Bytes of capacity, allocation, physical size.
    def blockInfo(self, path: str, flags: int | None = 0) -> list[int]: ...
    # Read requests, bytes read, write requests, bytes written, errors.
    def blockStats(self, path: str) -> tuple[int, int, int, int, int]: ...
    def abortJob(self) -> int: ...
    def jobInfo(self) -> list[int]: ...
    def jobStats(self, flags: int | None = 0) -> dict[str, Any]: ...
    def controlInfo(self, flags: int | None = 0) -> list[int]: ...
    def diskErrors(self, flags: int | None = 0) -> dict[str, int]: ...
    def hasCurrentSnapshot(self, flags: int | None = 0) -> int: ...
    def migrateToURI3(
        self, dconnuri: str | None, params: dict[str, Any], flags: int | None = 0
    ) -> int: ...

class virNetwork:
    def name(self) -> str: ...
    def UUIDString(self) -> str: ...
    def isActive(self) -> int: ...
    def isPersistent(self) -> int: ...
    def XMLDesc(self, flags: int | None = 0) -> str: ...
    def bridgeName(self) -> str: ...
    def create(self) -> int: ...
    def destroy(self) -> int: ...
    def undefine(self) -> int: ...
    def autostart(self) -> int: ...
    def setAutostart(self, autostart: int) -> int: ...

class virStoragePool:
    def name(self) -> str: ...
    def UUIDString(self) -> str: ...
    def isActive(self) -> int: ...
    def isPersistent(self) -> int: ...
    def XMLDesc(self, flags: int | None = 0) -> str: ...
    # State, bytes of capacity, allocation, available.
    def info(self) -> list[int]: ...
    def refresh(self, flags: int | None = 0) -> int: ...
    def create(self, flags: int | None = 0) -> int: ...
    def build(self, flags: int | None = 0) -> int: ...
    def destroy(self) -> int: ...
    def undefine(self) -> int: ...
    def autostart(self) -> int: ...
    def setAutostart(self, autostart: int) -> int: ...
    def listAllVolumes(self, flags: int | None = 0) -> list[virStorageVol]: ...
    def storageVolLookupByName(self, name: str) -> virStorageVol: ...

class virStorageVol:
    def name(self) -> str: ...
    def key(self) -> str: ...
    def path(self) -> str: ...
    # Type, bytes of capacity, allocation.
    def info(self) -> list[int]: ...
    def XMLDesc(self, flags: int | None = 0) -> str: ...
    def storagePoolLookupByVolume(self) -> virStoragePool: ...

class virSecret:
    def UUIDString(self) -> str: ...
    def usageID(self) -> str: ...
    def usageType(self) -> int: ...
    def XMLDesc(self, flags: int | None = 0) -> str: ...

VIR_CONNECT_CLOSE_REASON_CLIENT: int
VIR_CONNECT_CLOSE_REASON_EOF: int
VIR_CONNECT_CLOSE_REASON_ERROR: int
VIR_CONNECT_CLOSE_REASON_KEEPALIVE: int
VIR_CONNECT_COMPARE_CPU_FAIL_INCOMPATIBLE: int
VIR_CONNECT_COMPARE_CPU_VALIDATE_XML: int
VIR_CONNECT_GET_ALL_DOMAINS_STATS_ACTIVE: int
VIR_CONNECT_GET_ALL_DOMAINS_STATS_BACKING: int
VIR_CONNECT_GET_ALL_DOMAINS_STATS_ENFORCE_STATS: int
VIR_CONNECT_GET_ALL_DOMAINS_STATS_INACTIVE: int
VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT: int
VIR_CONNECT_GET_ALL_DOMAINS_STATS_OTHER: int
VIR_CONNECT_GET_ALL_DOMAINS_STATS_PAUSED: int
VIR_CONNECT_GET_ALL_DOMAINS_STATS_PERSISTENT: int
VIR_CONNECT_GET_ALL_DOMAINS_STATS_RUNNING: int
VIR_CONNECT_GET_ALL_DOMAINS_STATS_SHUTOFF: int
VIR_CONNECT_GET_ALL_DOMAINS_STATS_TRANSIENT: int
VIR_CONNECT_LIST_DOMAINS_ACTIVE: int
VIR_CONNECT_LIST_DOMAINS_AUTOSTART: int
VIR_CONNECT_LIST_DOMAINS_HAS_CHECKPOINT: int
VIR_CONNECT_LIST_DOMAINS_HAS_SNAPSHOT: int
VIR_CONNECT_LIST_DOMAINS_INACTIVE: int
VIR_CONNECT_LIST_DOMAINS_MANAGEDSAVE: int
VIR_CONNECT_LIST_DOMAINS_NO_AUTOSTART: int
VIR_CONNECT_LIST_DOMAINS_NO_CHECKPOINT: int
VIR_CONNECT_LIST_DOMAINS_NO_MANAGEDSAVE: int
VIR_CONNECT_LIST_DOMAINS_NO_SNAPSHOT: int
VIR_CONNECT_LIST_DOMAINS_OTHER: int
VIR_CONNECT_LIST_DOMAINS_PAUSED: int
VIR_CONNECT_LIST_DOMAINS_PERSISTENT: int
VIR_CONNECT_LIST_DOMAINS_RUNNING: int
VIR_CONNECT_LIST_DOMAINS_SHUTOFF: int
VIR_CONNECT_LIST_DOMAINS_TRANSIENT: int
VIR_CONNECT_LIST_NETWORKS_ACTIVE: int
VIR_CONNECT_LIST_NETWORKS_AUTOSTART: int
VIR_CONNECT_LIST_NETWORKS_INACTIVE: int
VIR_CONNECT_LIST_NETWORKS_NO_AUTOSTART: int
VIR_CONNECT_LIST_NETWORKS_PERSISTENT: int
VIR_CONNECT_LIST_NETWORKS_TRANSIENT: int
VIR_CONNECT_LIST_STORAGE_POOLS_ACTIVE: int
VIR_CONNECT_LIST_STORAGE_POOLS_AUTOSTART: int
VIR_CONNECT_LIST_STORAGE_POOLS_DIR: int
VIR_CONNECT_LIST_STORAGE_POOLS_DISK: int
VIR_CONNECT_LIST_STORAGE_POOLS_FS: int
VIR_CONNECT_LIST_STORAGE_POOLS_GLUSTER: int
VIR_CONNECT_LIST_STORAGE_POOLS_INACTIVE: int
VIR_CONNECT_LIST_STORAGE_POOLS_ISCSI: int
VIR_CONNECT_LIST_STORAGE_POOLS_ISCSI_DIRECT: int
VIR_CONNECT_LIST_STORAGE_POOLS_LOGICAL: int
VIR_CONNECT_LIST_STORAGE_POOLS_MPATH: int
VIR_CONNECT_LIST_STORAGE_POOLS_NETFS: int
VIR_CONNECT_LIST_STORAGE_POOLS_NO_AUTOSTART: int
VIR_CONNECT_LIST_STORAGE_POOLS_PERSISTENT: int
VIR_CONNECT_LIST_STORAGE_POOLS_RBD: int
VIR_CONNECT_LIST_STORAGE_POOLS_SCSI: int
VIR_CONNECT_LIST_STORAGE_POOLS_SHEEPDOG: int
VIR_CONNECT_LIST_STORAGE_POOLS_TRANSIENT: int
VIR_CONNECT_LIST_STORAGE_POOLS_VSTORAGE: int
VIR_CONNECT_LIST_STORAGE_POOLS_ZFS: int
VIR_CONNECT_NO_ALIASES: int
VIR_CONNECT_RO: int
VIR_CPU_COMPARE_ERROR: int
VIR_CPU_COMPARE_IDENTICAL: int
VIR_CPU_COMPARE_INCOMPATIBLE: int
VIR_CPU_COMPARE_SUPERSET: int
VIR_DOMAIN_AFFECT_CONFIG: int
VIR_DOMAIN_AFFECT_CURRENT: int
VIR_DOMAIN_AFFECT_LIVE: int
VIR_DOMAIN_BLOCKED: int
VIR_DOMAIN_BLOCKED_UNKNOWN: int
VIR_DOMAIN_CONTROL_ERROR: int
VIR_DOMAIN_CONTROL_ERROR_REASON_INTERNAL: int
VIR_DOMAIN_CONTROL_ERROR_REASON_MONITOR: int
VIR_DOMAIN_CONTROL_ERROR_REASON_NONE: int
VIR_DOMAIN_CONTROL_ERROR_REASON_UNKNOWN: int
VIR_DOMAIN_CONTROL_JOB: int
VIR_DOMAIN_CONTROL_OCCUPIED: int
VIR_DOMAIN_CONTROL_OK: int
VIR_DOMAIN_CRASHED: int
VIR_DOMAIN_CRASHED_PANICKED: int
VIR_DOMAIN_CRASHED_UNKNOWN: int
VIR_DOMAIN_DEFINE_VALIDATE: int
VIR_DOMAIN_DESTROY_DEFAULT: int
VIR_DOMAIN_DESTROY_GRACEFUL: int
VIR_DOMAIN_DESTROY_REMOVE_LOGS: int
VIR_DOMAIN_DISK_ERROR_NONE: int
VIR_DOMAIN_DISK_ERROR_NO_SPACE: int
VIR_DOMAIN_DISK_ERROR_UNSPEC: int
VIR_DOMAIN_EVENT_CRASHED: int
VIR_DOMAIN_EVENT_CRASHED_CRASHLOADED: int
VIR_DOMAIN_EVENT_CRASHED_PANICKED: int
VIR_DOMAIN_EVENT_DEFINED: int
VIR_DOMAIN_EVENT_DEFINED_ADDED: int
VIR_DOMAIN_EVENT_DEFINED_FROM_SNAPSHOT: int
VIR_DOMAIN_EVENT_DEFINED_RENAMED: int
VIR_DOMAIN_EVENT_DEFINED_UPDATED: int
VIR_DOMAIN_EVENT_ID_AGENT_LIFECYCLE: int
VIR_DOMAIN_EVENT_ID_DEVICE_ADDED: int
VIR_DOMAIN_EVENT_ID_DEVICE_REMOVAL_FAILED: int
VIR_DOMAIN_EVENT_ID_DEVICE_REMOVED: int
VIR_DOMAIN_EVENT_ID_IO_ERROR: int
VIR_DOMAIN_EVENT_ID_IO_ERROR_REASON: int
VIR_DOMAIN_EVENT_ID_JOB_COMPLETED: int
VIR_DOMAIN_EVENT_ID_LIFECYCLE: int
VIR_DOMAIN_EVENT_ID_METADATA_CHANGE: int
VIR_DOMAIN_EVENT_ID_MIGRATION_ITERATION: int
VIR_DOMAIN_EVENT_ID_REBOOT: int
VIR_DOMAIN_EVENT_ID_WATCHDOG: int
VIR_DOMAIN_EVENT_PMSUSPENDED: int
VIR_DOMAIN_EVENT_PMSUSPENDED_DISK: int
VIR_DOMAIN_EVENT_PMSUSPENDED_MEMORY: int
VIR_DOMAIN_EVENT_RESUMED: int
VIR_DOMAIN_EVENT_RESUMED_FROM_SNAPSHOT: int
VIR_DOMAIN_EVENT_RESUMED_MIGRATED: int
VIR_DOMAIN_EVENT_RESUMED_POSTCOPY: int
VIR_DOMAIN_EVENT_RESUMED_POSTCOPY_FAILED: int
VIR_DOMAIN_EVENT_RESUMED_UNPAUSED: int
VIR_DOMAIN_EVENT_SHUTDOWN: int
VIR_DOMAIN_EVENT_SHUTDOWN_FINISHED: int
VIR_DOMAIN_EVENT_SHUTDOWN_GUEST: int
VIR_DOMAIN_EVENT_SHUTDOWN_HOST: int
VIR_DOMAIN_EVENT_STARTED: int
VIR_DOMAIN_EVENT_STARTED_BOOTED: int
VIR_DOMAIN_EVENT_STARTED_FROM_SNAPSHOT: int
VIR_DOMAIN_EVENT_STARTED_MIGRATED: int
VIR_DOMAIN_EVENT_STARTED_RESTORED: int
VIR_DOMAIN_EVENT_STARTED_WAKEUP: int
VIR_DOMAIN_EVENT_STOPPED: int
VIR_DOMAIN_EVENT_STOPPED_CRASHED: int
VIR_DOMAIN_EVENT_STOPPED_DESTROYED: int
VIR_DOMAIN_EVENT_STOPPED_FAILED: int
VIR_DOMAIN_EVENT_STOPPED_FROM_SNAPSHOT: int
VIR_DOMAIN_EVENT_STOPPED_MIGRATED: int
VIR_DOMAIN_EVENT_STOPPED_SAVED: int
VIR_DOMAIN_EVENT_STOPPED_SHUTDOWN: int
VIR_DOMAIN_EVENT_SUSPENDED: int
VIR_DOMAIN_EVENT_SUSPENDED_API_ERROR: int
VIR_DOMAIN_EVENT_SUSPENDED_FROM_SNAPSHOT: int
VIR_DOMAIN_EVENT_SUSPENDED_IOERROR: int
VIR_DOMAIN_EVENT_SUSPENDED_MIGRATED: int
VIR_DOMAIN_EVENT_SUSPENDED_PAUSED: int
VIR_DOMAIN_EVENT_SUSPENDED_POSTCOPY: int
VIR_DOMAIN_EVENT_SUSPENDED_POSTCOPY_FAILED: int
VIR_DOMAIN_EVENT_SUSPENDED_RESTORED: int
VIR_DOMAIN_EVENT_SUSPENDED_WATCHDOG: int
VIR_DOMAIN_EVENT_UNDEFINED: int
VIR_DOMAIN_EVENT_UNDEFINED_REMOVED: int
VIR_DOMAIN_EVENT_UNDEFINED_RENAMED: int
VIR_DOMAIN_JOB_BOUNDED: int
VIR_DOMAIN_JOB_CANCELLED: int
VIR_DOMAIN_JOB_COMPLETED: int
VIR_DOMAIN_JOB_FAILED: int
VIR_DOMAIN_JOB_NONE: int
VIR_DOMAIN_JOB_UNBOUNDED: int
VIR_DOMAIN_METADATA_DESCRIPTION: int
VIR_DOMAIN_METADATA_ELEMENT: int
VIR_DOMAIN_METADATA_TITLE: int
VIR_DOMAIN_NOSTATE: int
VIR_DOMAIN_NOSTATE_UNKNOWN: int
VIR_DOMAIN_PAUSED: int
VIR_DOMAIN_PAUSED_CRASHED: int
VIR_DOMAIN_PAUSED_DUMP: int
VIR_DOMAIN_PAUSED_FROM_SNAPSHOT: int
VIR_DOMAIN_PAUSED_IOERROR: int
VIR_DOMAIN_PAUSED_MIGRATION: int
VIR_DOMAIN_PAUSED_POSTCOPY: int
VIR_DOMAIN_PAUSED_POSTCOPY_FAILED: int
VIR_DOMAIN_PAUSED_SAVE: int
VIR_DOMAIN_PAUSED_SHUTTING_DOWN: int
VIR_DOMAIN_PAUSED_SNAPSHOT: int
VIR_DOMAIN_PAUSED_STARTING_UP: int
VIR_DOMAIN_PAUSED_UNKNOWN: int
VIR_DOMAIN_PAUSED_USER: int
VIR_DOMAIN_PAUSED_WATCHDOG: int
VIR_DOMAIN_PMSUSPENDED: int
VIR_DOMAIN_PMSUSPENDED_DISK_UNKNOWN: int
VIR_DOMAIN_PMSUSPENDED_UNKNOWN: int
VIR_DOMAIN_RUNNING: int
VIR_DOMAIN_RUNNING_BOOTED: int
VIR_DOMAIN_RUNNING_CRASHED: int
VIR_DOMAIN_RUNNING_FROM_SNAPSHOT: int
VIR_DOMAIN_RUNNING_MIGRATED: int
VIR_DOMAIN_RUNNING_MIGRATION_CANCELED: int
VIR_DOMAIN_RUNNING_POSTCOPY: int
VIR_DOMAIN_RUNNING_POSTCOPY_FAILED: int
VIR_DOMAIN_RUNNING_RESTORED: int
VIR_DOMAIN_RUNNING_SAVE_CANCELED: int
VIR_DOMAIN_RUNNING_UNKNOWN: int
VIR_DOMAIN_RUNNING_UNPAUSED: int
VIR_DOMAIN_RUNNING_WAKEUP: int
VIR_DOMAIN_SHUTDOWN: int
VIR_DOMAIN_SHUTDOWN_ACPI_POWER_BTN: int
VIR_DOMAIN_SHUTDOWN_DEFAULT: int
VIR_DOMAIN_SHUTDOWN_GUEST_AGENT: int
VIR_DOMAIN_SHUTDOWN_INITCTL: int
VIR_DOMAIN_SHUTDOWN_PARAVIRT: int
VIR_DOMAIN_SHUTDOWN_SIGNAL: int
VIR_DOMAIN_SHUTDOWN_UNKNOWN: int
VIR_DOMAIN_SHUTDOWN_USER: int
VIR_DOMAIN_SHUTOFF: int
VIR_DOMAIN_SHUTOFF_CRASHED: int
VIR_DOMAIN_SHUTOFF_DAEMON: int
VIR_DOMAIN_SHUTOFF_DESTROYED: int
VIR_DOMAIN_SHUTOFF_FAILED: int
VIR_DOMAIN_SHUTOFF_FROM_SNAPSHOT: int
VIR_DOMAIN_SHUTOFF_MIGRATED: int
VIR_DOMAIN_SHUTOFF_SAVED: int
VIR_DOMAIN_SHUTOFF_SHUTDOWN: int
VIR_DOMAIN_SHUTOFF_UNKNOWN: int
VIR_DOMAIN_START_AUTODESTROY: int
VIR_DOMAIN_START_BYPASS_CACHE: int
VIR_DOMAIN_START_FORCE_BOOT: int
VIR_DOMAIN_START_PAUSED: int
VIR_DOMAIN_START_RESET_NVRAM: int
VIR_DOMAIN_START_VALIDATE: int
VIR_DOMAIN_STATS_BALLOON: int
VIR_DOMAIN_STATS_BLOCK: int
VIR_DOMAIN_STATS_CPU_TOTAL: int
VIR_DOMAIN_STATS_DIRTYRATE: int
VIR_DOMAIN_STATS_INTERFACE: int
VIR_DOMAIN_STATS_IOTHREAD: int
VIR_DOMAIN_STATS_MEMORY: int
VIR_DOMAIN_STATS_PERF: int
VIR_DOMAIN_STATS_STATE: int
VIR_DOMAIN_STATS_VCPU: int
VIR_DOMAIN_STATS_VM: int
VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA: int
VIR_DOMAIN_UNDEFINE_KEEP_NVRAM: int
VIR_DOMAIN_UNDEFINE_KEEP_TPM: int
VIR_DOMAIN_UNDEFINE_MANAGED_SAVE: int
VIR_DOMAIN_UNDEFINE_NVRAM: int
VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA: int
VIR_DOMAIN_UNDEFINE_TPM: int
VIR_DOMAIN_XML_INACTIVE: int
VIR_DOMAIN_XML_MIGRATABLE: int
VIR_DOMAIN_XML_SECURE: int
VIR_DOMAIN_XML_UPDATE_CPU: int
VIR_ERR_ACCESS_DENIED: int
VIR_ERR_AGENT_UNRESPONSIVE: int
VIR_ERR_AGENT_UNSYNCED: int
VIR_ERR_ARGUMENT_UNSUPPORTED: int
VIR_ERR_AUTH_CANCELLED: int
VIR_ERR_AUTH_FAILED: int
VIR_ERR_AUTH_UNAVAILABLE: int
VIR_ERR_BLOCK_COPY_ACTIVE: int
VIR_ERR_BUILD_FIREWALL: int
VIR_ERR_CALL_FAILED: int
VIR_ERR_CHECKPOINT_INCONSISTENT: int
VIR_ERR_CONFIG_UNSUPPORTED: int
VIR_ERR_CONF_SYNTAX: int
VIR_ERR_CPU_INCOMPATIBLE: int
VIR_ERR_DBUS_SERVICE: int
VIR_ERR_DEVICE_MISSING: int
VIR_ERR_DOM_EXIST: int
VIR_ERR_DRIVER_FULL: int
VIR_ERR_ERROR: int
VIR_ERR_GET_FAILED: int
VIR_ERR_GNUTLS_ERROR: int
VIR_ERR_HOOK_SCRIPT_FAILED: int
VIR_ERR_HTTP_ERROR: int
VIR_ERR_INTERNAL_ERROR: int
VIR_ERR_INVALID_ARG: int
VIR_ERR_INVALID_CONN: int
VIR_ERR_INVALID_DOMAIN: int
VIR_ERR_INVALID_DOMAIN_CHECKPOINT: int
VIR_ERR_INVALID_DOMAIN_SNAPSHOT: int
VIR_ERR_INVALID_INTERFACE: int
VIR_ERR_INVALID_MAC: int
VIR_ERR_INVALID_NETWORK: int
VIR_ERR_INVALID_NETWORK_PORT: int
VIR_ERR_INVALID_NODE_DEVICE: int
VIR_ERR_INVALID_NWFILTER: int
VIR_ERR_INVALID_NWFILTER_BINDING: int
VIR_ERR_INVALID_SECRET: int
VIR_ERR_INVALID_STORAGE_POOL: int
VIR_ERR_INVALID_STORAGE_VOL: int
VIR_ERR_INVALID_STREAM: int
VIR_ERR_LIBSSH: int
VIR_ERR_MIGRATE_FINISH_OK: int
VIR_ERR_MIGRATE_PERSIST_FAILED: int
VIR_ERR_MIGRATE_UNSAFE: int
VIR_ERR_MULTIPLE_DOMAINS: int
VIR_ERR_MULTIPLE_INTERFACES: int
VIR_ERR_NETWORK_EXIST: int
VIR_ERR_NETWORK_PORT_EXIST: int
VIR_ERR_NONE: int
VIR_ERR_NO_CLIENT: int
VIR_ERR_NO_CONNECT: int
VIR_ERR_NO_DEVICE: int
VIR_ERR_NO_DOMAIN: int
VIR_ERR_NO_DOMAIN_BACKUP: int
VIR_ERR_NO_DOMAIN_CHECKPOINT: int
VIR_ERR_NO_DOMAIN_METADATA: int
VIR_ERR_NO_DOMAIN_SNAPSHOT: int
VIR_ERR_NO_HOSTNAME: int
VIR_ERR_NO_INTERFACE: int
VIR_ERR_NO_KERNEL: int
VIR_ERR_NO_MEMORY: int
VIR_ERR_NO_NAME: int
VIR_ERR_NO_NETWORK: int
VIR_ERR_NO_NETWORK_PORT: int
VIR_ERR_NO_NODE_DEVICE: int
VIR_ERR_NO_NWFILTER: int
VIR_ERR_NO_NWFILTER_BINDING: int
VIR_ERR_NO_OS: int
VIR_ERR_NO_ROOT: int
VIR_ERR_NO_SECRET: int
VIR_ERR_NO_SECURITY_MODEL: int
VIR_ERR_NO_SERVER: int
VIR_ERR_NO_SOURCE: int
VIR_ERR_NO_STORAGE_POOL: int
VIR_ERR_NO_STORAGE_VOL: int
VIR_ERR_NO_SUPPORT: int
VIR_ERR_NO_TARGET: int
VIR_ERR_NO_XEN: int
VIR_ERR_NO_XENSTORE: int
VIR_ERR_OK: int
VIR_ERR_OPEN_FAILED: int
VIR_ERR_OPERATION_ABORTED: int
VIR_ERR_OPERATION_DENIED: int
VIR_ERR_OPERATION_FAILED: int
VIR_ERR_OPERATION_INVALID: int
VIR_ERR_OPERATION_TIMEOUT: int
VIR_ERR_OPERATION_UNSUPPORTED: int
VIR_ERR_OS_TYPE: int
VIR_ERR_OVERFLOW: int
VIR_ERR_PARSE_FAILED: int
VIR_ERR_POST_FAILED: int
VIR_ERR_READ_FAILED: int
VIR_ERR_RESOURCE_BUSY: int
VIR_ERR_RPC: int
VIR_ERR_SEXPR_SERIAL: int
VIR_ERR_SNAPSHOT_REVERT_RISKY: int
VIR_ERR_SSH: int
VIR_ERR_STORAGE_POOL_BUILT: int
VIR_ERR_STORAGE_PROBE_FAILED: int
VIR_ERR_STORAGE_VOL_EXIST: int
VIR_ERR_SYSTEM_ERROR: int
VIR_ERR_UNKNOWN_HOST: int
VIR_ERR_WARNING: int
VIR_ERR_WRITE_FAILED: int
VIR_ERR_XEN_CALL: int
VIR_ERR_XML_DETAIL: int
VIR_ERR_XML_ERROR: int
VIR_ERR_XML_INVALID_SCHEMA: int
VIR_EVENT_HANDLE_ERROR: int
VIR_EVENT_HANDLE_HANGUP: int
VIR_EVENT_HANDLE_READABLE: int
VIR_EVENT_HANDLE_WRITABLE: int
VIR_FROM_DOM: int
VIR_FROM_DOMAIN: int
VIR_FROM_DOMAIN_CHECKPOINT: int
VIR_FROM_DOMAIN_SNAPSHOT: int
VIR_FROM_QEMU: int
VIR_FROM_REMOTE: int
VIR_FROM_RPC: int
VIR_MIGRATE_LIVE: int
VIR_MIGRATE_PARAM_DEST_NAME: str
VIR_MIGRATE_PARAM_DEST_XML: str
VIR_MIGRATE_PARAM_URI: str
VIR_MIGRATE_PEER2PEER: int
VIR_MIGRATE_PERSIST_DEST: int
VIR_MIGRATE_UNDEFINE_SOURCE: int
VIR_MIGRATE_UNSAFE: int
VIR_NETWORK_XML_INACTIVE: int
VIR_SECRET_USAGE_TYPE_CEPH: int
VIR_SECRET_USAGE_TYPE_ISCSI: int
VIR_SECRET_USAGE_TYPE_NONE: int
VIR_SECRET_USAGE_TYPE_TLS: int
VIR_SECRET_USAGE_TYPE_VOLUME: int
VIR_SECRET_USAGE_TYPE_VTPM: int
VIR_STORAGE_POOL_BUILDING: int
VIR_STORAGE_POOL_CREATE_NORMAL: int
VIR_STORAGE_POOL_CREATE_WITH_BUILD: int
VIR_STORAGE_POOL_CREATE_WITH_BUILD_NO_OVERWRITE: int
VIR_STORAGE_POOL_CREATE_WITH_BUILD_OVERWRITE: int
VIR_STORAGE_POOL_DEGRADED: int
VIR_STORAGE_POOL_INACCESSIBLE: int
VIR_STORAGE_POOL_INACTIVE: int
VIR_STORAGE_POOL_RUNNING: int
VIR_STORAGE_VOL_BLOCK: int
VIR_STORAGE_VOL_DIR: int
VIR_STORAGE_VOL_FILE: int
VIR_STORAGE_VOL_NETDIR: int
VIR_STORAGE_VOL_NETWORK: int
VIR_STORAGE_VOL_PLOOP: int
VIR_STORAGE_XML_INACTIVE: int
