import enum

class PowerState(enum.Enum):
    ON = "On"
    OFF = "Off"
    POWERING_ON = "PoweringOn"
    POWERING_OFF = "PoweringOff"
    PAUSED = "Paused"

class ResetType(enum.Enum):
    ON = "On"
    FORCE_OFF = "ForceOff"
