// SPDX-License-Identifier: GPL-2.0
/* The netdev rxe-net0 with its addresses, and rxe0 over it. */
#include "init.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define GIDS "/sys/class/infiniband/rxe0/ports/1/gids/"

static void run_or_fail(char *const args[])
{
	int status;

	if (waitpid(start(args), &status, 0) < 0 || status)
		fail("'%s %s' failed (is the package iproute2 installed?)", args[0], args[1]);
}

static void write_hosts(const struct job *job, int number)
{
	FILE *file = fopen("/etc/hosts", "w");

	if (!file)
		fail("cannot write /etc/hosts: %m");
	fprintf(file, "127.0.0.1 localhost\n::1 localhost\n");
	for (int i = 1; i <= 2; i++)
		fprintf(file, "10.0.0.%d host%d\nfd00::%d host%d\n", i, i, i, i);
	fprintf(file, "10.0.0.%d %s\n", number, job->name);
	fclose(file);
}

static void make_netdev(const struct job *job, int number)
{
	char path[] = "/run/ip-batch";
	FILE *batch = fopen(path, "w");

	if (!batch)
		fail("cannot write %s: %m", path);
	fprintf(batch, "link set lo up\n");
	if (job->host)
		fprintf(batch, "link set eth0 name rxe-net0\n");
	else
		fprintf(batch, "link add rxe-net0 address 02:00:00:00:00:01 type dummy\n");
	fprintf(batch,
		"link set rxe-net0 mtu 9000 up\n"
		"address add 10.0.0.%d/24 dev rxe-net0\n"
		"address add fd00::%d/64 dev rxe-net0 nodad\n", number, number);
	fclose(batch);
	run_or_fail((char *[]){ "ip", "-batch", path, NULL });
	unlink(path);
}

/* Whether one of the first GIDs ends as wanted. */
static bool gid_ready(const char *wanted)
{
	char path[64], gid[64];

	for (int i = 0; i < 8; i++) {
		snprintf(path, sizeof(path), GIDS "%d", i);
		if (read_file(path, gid, sizeof(gid)) && strstr(gid, wanted))
			return true;
	}
	return false;
}

static void make_rxe(int number)
{
	static char *const add[] = { "rdma", "link", "add", "rxe0", "type", "rxe",
				     "netdev", "rxe-net0", NULL };
	char ipv4[32], ipv6[64];

	snprintf(ipv4, sizeof(ipv4), ":ffff:0a00:000%d\n", number);
	snprintf(ipv6, sizeof(ipv6), "fd00:0000:0000:0000:0000:0000:0000:000%d\n", number);
	if (access("/sys/class/infiniband", F_OK))
		fail("this kernel has no rxe (CONFIG_RDMA_RXE=y): use --no-rxe");
	run_or_fail(add);
	for (int tries = 0; tries < 2000; tries++) {
		if (gid_ready(ipv4) && gid_ready(ipv6))
			return;
		nap(5);
	}
	fail("rxe0 does not get its GIDs");
}

void network_up(const struct job *job)
{
	int number = job->host ? job->host : 1;

	/* Nobody else has these addresses: use them at once. */
	write_file("/proc/sys/net/ipv6/conf/default/accept_dad", "0");
	write_hosts(job, number);
	make_netdev(job, number);
	if (job->rxe)
		make_rxe(number);
}
