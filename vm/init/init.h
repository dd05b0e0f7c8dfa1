/* SPDX-License-Identifier: GPL-2.0 */
/* PID 1 of the guest: what its parts share. */
#ifndef RXE_UFFD_VM_INIT_H
#define RXE_UFFD_VM_INIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdnoreturn.h>
#include <sys/types.h>

#define FORMAT			__format__
#define PRINTF_LIKE		__attribute__((FORMAT(__printf__, 1, 2)))
#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

/* A growing list of strings, ended by a NULL as exec wants it. */
struct strings {
	char **at;
	size_t count;
};

/* What vm/run wants done. */
struct job {
	char *name;		/* host name */
	char *cwd;		/* where the command runs, */
	struct strings env;	/* its environment */
	struct strings args;	/* and its words */
	struct strings folders;	/* the host's, to be seen wherever they are */
	struct strings shares;	/* folders of the host that are writable */
	char *marker;		/* ends each stream of output */
	int host;		/* 1 or 2 where two VMs share a network, else 0 */
	int rxe;		/* bring up rxe0 */
	int interactive;	/* the command is a shell on /dev/hvc0 */
	int kmemleak;		/* look for leaked memory in the end */
	int hung;		/* seconds until a blocked task is reported */
	int grace;		/* seconds for what the command left to go */
};

/* control.c: the messages to and from vm/run */
void control_open(void);
void control_read_job(struct job *job);
void control_serve(void);
void control_wait_end(void);
void PRINTF_LIKE control_say(const char *format, ...);
int port_open(int number);

/* root.c */
void root_mount(const struct job *job);

/* network.c */
void network_up(const struct job *job);

/* tsc.c */
unsigned long tsc_khz(void);

/* leftovers.c */
bool leftovers_kill(const struct job *job);
void leftovers_delete_rxe(const struct job *job);
void leftovers_scan_kmemleak(void);

/* util.c */
noreturn void PRINTF_LIKE fail(const char *format, ...);
noreturn void reset_machine(void);
void PRINTF_LIKE kernel_log(const char *format, ...);
void strings_add(struct strings *list, char *string);
void nap(int milliseconds);
void write_all(int fd, const void *data, size_t size);
bool write_file(const char *path, const char *text);
bool read_file(const char *path, char *text, size_t size);
void make_folders(const char *path);
pid_t start(char *const args[]);

#endif
