// SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
/*
 * peer ADDRESS read OFFSET LENGTH > FILE
 * peer ADDRESS write OFFSET < FILE
 *
 * Reads or writes, by one RDMA READ or WRITE, what another example serves there.
 */
#include <endian.h>
#include <rdma/rdma_verbs.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "serve.h"

#define MOST	(64UL << 20)

static struct rdma_cm_id *connect_to(const char *address, struct offer *offer)
{
	struct rdma_addrinfo hints = { .ai_port_space = RDMA_PS_TCP }, *there;
	struct ibv_qp_init_attr attr = {
		.cap = { .max_send_wr = 1, .max_recv_wr = 1,
			 .max_send_sge = 1, .max_recv_sge = 1 },
		.sq_sig_all = 1,
	};
	struct rdma_conn_param param = {
		.responder_resources = 16,
		.initiator_depth = 16,
		.retry_count = 7,
		/* Pages may come late: it is tried for ever. */
		.rnr_retry_count = 7,
	};
	struct rdma_cm_id *id;

	if (rdma_getaddrinfo(address, PORT, &hints, &there))
		die(address);
	if (rdma_create_ep(&id, there, NULL, &attr) || rdma_connect(id, &param))
		die(address);
	rdma_freeaddrinfo(there);
	if (id->event->param.conn.private_data_len < sizeof(*offer))
		die("offer");
	memcpy(offer, id->event->param.conn.private_data, sizeof(*offer));
	return id;
}

static void wait_for(struct rdma_cm_id *id)
{
	struct ibv_wc wc;

	if (rdma_get_send_comp(id, &wc) != 1)
		die("completion");
	if (wc.status == IBV_WC_SUCCESS)
		return;
	fprintf(stderr, "peer: %s\n", ibv_wc_status_str(wc.status));
	exit(1);
}

int main(int argc, char **argv)
{
	bool read = argc == 5 && !strcmp(argv[2], "read");
	char *buffer = malloc(MOST);
	struct rdma_cm_id *id;
	struct offer offer;
	struct ibv_mr *mr;
	uint64_t at;
	size_t n;

	if (!read && (argc != 4 || strcmp(argv[2], "write"))) {
		fprintf(stderr, "usage: peer ADDRESS read OFFSET LENGTH | write OFFSET\n");
		return 2;
	}
	if (!buffer)
		die("peer");
	at = strtoull(argv[3], NULL, 0);
	n = read ? strtoull(argv[4], NULL, 0) : fread(buffer, 1, MOST, stdin);
	id = connect_to(argv[1], &offer);
	if (n > MOST || at > be64toh(offer.length) ||
	    n > be64toh(offer.length) - at) {
		fprintf(stderr, "peer: not within its %ju bytes, or more than %lu\n",
			(uintmax_t)be64toh(offer.length), MOST);
		return 2;
	}
	mr = rdma_reg_msgs(id, buffer, n);
	if (!mr)
		die("memory region");
	at += be64toh(offer.addr);
	if (read ? rdma_post_read(id, NULL, buffer, n, mr, 0, at,
				  be32toh(offer.rkey)) :
		   rdma_post_write(id, NULL, buffer, n, mr, 0, at,
				   be32toh(offer.rkey)))
		die("post");
	wait_for(id);
	if (read && fwrite(buffer, 1, n, stdout) != n)
		die("stdout");
	rdma_disconnect(id);
	rdma_dereg_mr(mr);
	rdma_destroy_ep(id);
	free(buffer);
	return 0;
}
