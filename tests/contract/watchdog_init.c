/* PID 1 of the guest that tries a real watchdog: loads the driver, then is tests/contract's script.
 *
 * The kernel command line says with which parameters: `driver.nowayout=1`. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/syscall.h>
#include <unistd.h>

static void load(const char *path, const char *parameters) {
    int module = open(path, O_RDONLY | O_CLOEXEC);
    if (syscall(SYS_finit_module, module, parameters, 0) != 0) perror(path);
    close(module);
}

int main(void) {
    mount("proc", "/proc", "proc", 0, NULL);
    mount("sysfs", "/sys", "sysfs", 0, NULL);
    mount("devtmpfs", "/dev", "devtmpfs", 0, NULL);
    int console = open("/dev/ttyS0", O_RDWR);
    dup2(console, STDIN_FILENO);
    dup2(console, STDOUT_FILENO);
    dup2(console, STDERR_FILENO);

    char command_line[4096] = "";
    int file = open("/proc/cmdline", O_RDONLY | O_CLOEXEC);
    if (read(file, command_line, sizeof command_line - 1) < 0) perror("/proc/cmdline");
    close(file);
    load("/modules/watchdog.ko", "");
    load("/modules/i6300esb.ko", strstr(command_line, "driver.nowayout=1") ? "nowayout=1" : "");

    if (access("/modules/e1000.ko", F_OK) == 0) load("/modules/e1000.ko", "");

    char *const argv[] = {"/usr/bin/python3.11", "-S", "-B", "/guest.py", NULL};
    char *const environment[] = {"PYTHONHOME=/usr", "PYTHONPATH=/", NULL};
    execve(argv[0], argv, environment);
    perror(argv[0]);
    reboot(RB_POWER_OFF);
}
