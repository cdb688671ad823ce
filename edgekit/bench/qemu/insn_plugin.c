/* A plugin for QEMU's user-mode emulator that counts the instructions a program executes.
 *
 * The program marks points of its run with the system call getpriority(77, tag): no such "which" exists, so every kernel
 * answers EINVAL and nothing else happens. At exit the plugin writes one line per mark, "mark TAG COUNT", to the file named by
 * its argument out=FILE. Counting is per translated block (the count is added before the block runs), so it is exact where a
 * block ends, and a system call ends one.
 *
 * Written against plugin API version 1, as in Debian's qemu-user 7.2; QEMU's header is not needed, the few declarations used
 * are below. On another version it refuses to load and says so: a count that is not known to be right is not a count.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define TESTED_API 1
#define MARK_WHICH 77
#define MAX_MARKS 4096
#define EXPORT __attribute__((visibility("default")))

typedef uint64_t qemu_plugin_id_t;
struct qemu_plugin_tb;

typedef struct {
    const char *target_name;
    struct { int min, cur; } version;
    bool system_emulation;
    struct { int smp_vcpus, max_vcpus; } system;
} qemu_info_t;

typedef void (*tb_trans_cb)(qemu_plugin_id_t, struct qemu_plugin_tb *);
typedef void (*vcpu_cb)(qemu_plugin_id_t, unsigned);
typedef void (*exit_cb)(qemu_plugin_id_t, void *);
typedef void (*syscall_cb)(qemu_plugin_id_t, unsigned, int64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t,
                           uint64_t, uint64_t);

extern void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t, tb_trans_cb);
extern void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb *, int op, void *counter, uint64_t add);
extern size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
extern void qemu_plugin_register_vcpu_init_cb(qemu_plugin_id_t, vcpu_cb);
extern void qemu_plugin_register_vcpu_syscall_cb(qemu_plugin_id_t, syscall_cb);
extern void qemu_plugin_register_atexit_cb(qemu_plugin_id_t, exit_cb, void *);

EXPORT int qemu_plugin_version = TESTED_API;

static uint64_t instructions;
static unsigned threads;
static struct { int tag; uint64_t count; } marks[MAX_MARKS];
static int n_marks;
static char out_path[4096];

static void count_block(qemu_plugin_id_t id, struct qemu_plugin_tb *block) {
    qemu_plugin_register_vcpu_tb_exec_inline(block, 0 /* add */, &instructions, qemu_plugin_tb_n_insns(block));
}

static void count_thread(qemu_plugin_id_t id, unsigned vcpu) { threads++; }

static void see_syscall(qemu_plugin_id_t id, unsigned vcpu, int64_t number, uint64_t which, uint64_t tag, uint64_t a3,
                        uint64_t a4, uint64_t a5, uint64_t a6, uint64_t a7, uint64_t a8) {
    /* getpriority is 141 on 64-bit ARM and 96 on 32-bit ARM */
    if ((number == 141 || number == 96) && which == MARK_WHICH && n_marks < MAX_MARKS) {
        marks[n_marks].tag = (int)tag;
        marks[n_marks++].count = instructions;
    }
}

static void write_marks(qemu_plugin_id_t id, void *unused) {
    FILE *out = fopen(out_path, "w");
    if (!out) return;
    fprintf(out, "threads %u\n", threads);
    for (int i = 0; i < n_marks; i++) fprintf(out, "mark %d %llu\n", marks[i].tag, (unsigned long long)marks[i].count);
    fclose(out);
}

EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc, char **argv) {
    if (info->version.cur != TESTED_API) {
        fprintf(stderr, "edgekit-insn: plugin API %d, tested with %d\n", info->version.cur, TESTED_API);
        return -1;
    }
    for (int i = 0; i < argc; i++)
        if (!strncmp(argv[i], "out=", 4)) snprintf(out_path, sizeof out_path, "%s", argv[i] + 4);
    if (!out_path[0]) {
        fprintf(stderr, "edgekit-insn: out=FILE is missing\n");
        return -1;
    }
    qemu_plugin_register_vcpu_init_cb(id, count_thread);
    qemu_plugin_register_vcpu_tb_trans_cb(id, count_block);
    qemu_plugin_register_vcpu_syscall_cb(id, see_syscall);
    qemu_plugin_register_atexit_cb(id, write_marks, NULL);
    return 0;
}
