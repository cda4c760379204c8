#!/bin/sh
# What a BMC of the lab does for `ipmitool chassis power`: ipmi_sim calls it as
#   chassis_control.sh SETTINGS MC get|set|check power|reset|shutdown [VALUE] ...
# SETTINGS is a file of shell variables written by lab/bmc.py: lab, host, project, python, mode
# (a file), switch (the lock of its power), outer and init (the records of the host's processes).
. "$1"
shift 2
mode=$(cat "$mode")

[ "$mode" = slow ] && sleep "$slow_s"
[ "$mode" = refuse ] && exit 1

# Whether the process of a record runs: its pid, of that start time, and no zombie.
lives() {
    read -r pid start < "$1" || return 1
    read -r stat < "/proc/$pid/stat" || return 1
    set -- ${stat##*) }
    [ "${20}" = "$start" ] && [ "$1" != Z ] && [ "$1" != X ]
} 2> /dev/null

# Off means that nothing of the host lives: the init of a PID namespace ends last.
powered() { lives "$outer" || lives "$init"; }

power_cut() (
    flock 9
    tries=0
    while powered; do
        for record in "$outer" "$init"; do
            lives "$record" && read -r pid start < "$record" && kill -9 "$pid"
        done
        tries=$((tries + 1))
        [ "$tries" -gt 500 ] && return 1
        sleep 0.01
    done
) 9> "$switch"

tell_lab() {
    cd "$project" || return 1
    setsid "$python" -m lab --name "$lab" host "$host" "$1" < /dev/null > /dev/null 2>> "$log" &
}

case "$1 $2" in
    "get power")
        case "$mode" in
            lie-off) echo power:0 ;;
            lie-on) echo power:1 ;;
            *) if powered; then echo power:1; else echo power:0; fi ;;
        esac
        ;;
    "set power")
        if [ "$3" = 1 ]; then
            tell_lab power-on
        elif [ "$mode" != ignore-off ]; then
            power_cut
        fi
        ;;
    "set reset")
        [ "$mode" = ignore-off ] || { power_cut && tell_lab power-on; }
        ;;
    "set shutdown")
        tell_lab shutdown
        ;;
esac
