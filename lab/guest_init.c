/* PID 1 of a lab guest: writes who it is to its disk about eight times a second.
 *
 * Sector 0 is the "current" record. Each boot also appends to one of 256 rings of 32 sectors, chosen
 * by the first byte of its boot id. Before each write it reads sector 0 back past the page cache: a
 * record of somebody else there, after its own first write, is a double writer. It is counted in
 * `foreign`, so the disk itself keeps the proof also when nobody watched.
 *
 * With `lab.agent` on the kernel's command line it also opens the channel of a guest agent, and holds
 * it until somebody speaks to it: to libvirt that is an agent that connects, and then ends.
 *
 * A C program and no shell, because a shell that starts a process per write costs a quarter of a
 * core per guest without KVM.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { SECTOR_BYTES = 512, FIRST_RING_SECTOR = 64, RING_SECTORS = 32, PERIOD_MS = 120 };

static void sleep_ms(long ms) {
    struct timespec pause = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L};
    nanosleep(&pause, NULL);
}

/* Reads a small text file; an absent one reads as empty. */
static void read_text(const char *path, char *text, size_t size) {
    int file = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t length = file < 0 ? 0 : read(file, text, size - 1);
    text[length < 0 ? 0 : length] = '\0';
    if (file >= 0) close(file);
}

/* Loads the kernel modules of a list, in the order in which the image builder wrote them. */
static void load_modules(const char *list) {
    char names[2048];
    read_text(list, names, sizeof names);
    for (char *name = strtok(names, "\n"); name; name = strtok(NULL, "\n")) {
        char path[256];
        snprintf(path, sizeof path, "/modules/%s.ko", name);
        int module = open(path, O_RDONLY | O_CLOEXEC);
        if (syscall(SYS_finit_module, module, "", 0) != 0) perror(path);
        close(module);
    }
}

/* Opens the channel of that name; negative: it is not there, or not yet. */
static int open_channel(const char *wanted) {
    int channel = -1;
    DIR *ports = opendir("/sys/class/virtio-ports");
    if (!ports) return -1;
    for (struct dirent *port; channel < 0 && (port = readdir(ports));) {
        char path[300], name[128];
        snprintf(path, sizeof path, "/sys/class/virtio-ports/%s/name", port->d_name);
        read_text(path, name, sizeof name);
        name[strcspn(name, "\n")] = '\0';
        snprintf(path, sizeof path, "/dev/%s", port->d_name);
        if (strcmp(name, wanted) == 0) channel = open(path, O_RDWR | O_CLOEXEC);
    }
    closedir(ports);
    return channel;
}

/* Is a guest agent as far as libvirt can see: connected until it is spoken to. */
static void be_agent(void) {
    load_modules("/modules/agent");
    mount("sysfs", "/sys", "sysfs", 0, NULL);
    int channel;
    while ((channel = open_channel("org.qemu.guest_agent.0")) < 0) sleep_ms(100);
    /* Nobody at the other end reads as an end of file. */
    char word;
    while (read(channel, &word, 1) < 1) sleep_ms(100);
}

/* Writes for ever as `guest`; returns only if the disk fails. */
static void write_for_ever(const char *guest) {
    int disk;
    while ((disk = open("/dev/vda", O_RDWR | O_DIRECT | O_CLOEXEC)) < 0) sleep_ms(20);

    char boot_id[64];
    read_text("/proc/sys/kernel/random/boot_id", boot_id, sizeof boot_id);
    boot_id[strcspn(boot_id, "\n")] = '\0';
    char first_byte[3] = {boot_id[0], boot_id[1], '\0'};
    long ring_sector = FIRST_RING_SECTOR + RING_SECTORS * strtol(first_byte, NULL, 16);

    char *sector;
    if (posix_memalign((void **)&sector, 4096, SECTOR_BYTES) != 0) return;
    char before[64] = "-";
    unsigned long counter = 0, foreign = 0;
    for (;; sleep_ms(PERIOD_MS)) {
        char writer[64] = "-";
        if (pread(disk, sector, SECTOR_BYTES, 0) != SECTOR_BYTES) return;
        sector[SECTOR_BYTES - 1] = '\0';
        sscanf(sector, "hamon-guest %*s %*s %63s", writer);
        if (counter == 0) strcpy(before, writer);
        else if (strcmp(writer, boot_id) != 0) foreign++;
        counter++;
        struct timespec up;
        clock_gettime(CLOCK_BOOTTIME, &up);
        memset(sector, ' ', SECTOR_BYTES);
        int length = snprintf(sector, SECTOR_BYTES, "hamon-guest 1 %s %s %lu %lu %s %ld.%03ld", guest,
                              boot_id, counter, foreign, before, (long)up.tv_sec,
                              up.tv_nsec / 1000000);
        sector[length] = ' ';
        sector[SECTOR_BYTES - 1] = '\n';
        off_t ring = (ring_sector + (long)(counter % RING_SECTORS)) * SECTOR_BYTES;
        if (pwrite(disk, sector, SECTOR_BYTES, 0) != SECTOR_BYTES) return;
        if (pwrite(disk, sector, SECTOR_BYTES, ring) != SECTOR_BYTES) return;
    }
}

int main(void) {
    mount("proc", "/proc", "proc", 0, NULL);
    mount("devtmpfs", "/dev", "devtmpfs", 0, NULL);
    int console = open("/dev/console", O_RDWR);
    dup2(console, STDOUT_FILENO);
    dup2(console, STDERR_FILENO);

    char command_line[4096], guest[128] = "unnamed";
    read_text("/proc/cmdline", command_line, sizeof command_line);
    if (strstr(command_line, "lab.probe")) {
        dprintf(STDOUT_FILENO, "lab-probe-booted\n");
        reboot(RB_POWER_OFF);
    }
    char *named = strstr(command_line, "lab.guest=");
    if (named) sscanf(named, "lab.guest=%127s", guest);

    load_modules("/modules/order");
    if (strstr(command_line, "lab.agent") && fork() == 0) {
        be_agent();
        _exit(0);
    }
    write_for_ever(guest);
    dprintf(STDOUT_FILENO, "the disk failed\n");
    reboot(RB_POWER_OFF);
}
