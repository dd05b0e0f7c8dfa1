// SPDX-License-Identifier: GPL-2.0
/* Messages over TCP. Nothing that a peer sends is believed. */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "wire.h"

#define MAGIC		0x55464d52	/* "UFMR" */
#define MOST_WORDS	0x100000U	/* dirty bits of 256 GiB */
#define SEND_TIMEOUT	(60 * NSEC_PER_SEC)

struct header {
	uint32_t magic;
	uint16_t version;
	uint16_t type;
	uint32_t words;
} __attribute__((packed));

static int resolve(const char *address, const char *port, int flags,
		   struct addrinfo **info, struct failure *failure)
{
	struct addrinfo hints = {
		.ai_socktype = SOCK_STREAM,
		.ai_flags = flags,
	};
	int err = getaddrinfo(address, port, &hints, info);

	return err ? fail(failure, 0, "%s: %s", address, gai_strerror(err)) : 0;
}

int wire_listen(const char *address, const char *port, struct failure *failure)
{
	struct addrinfo *info;
	int one = 1, err, fd;

	err = resolve(address, port, AI_PASSIVE, &info, failure);
	if (err)
		return err;
	fd = socket(info->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
		    0);
	if (fd >= 0)
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (fd < 0 || bind(fd, info->ai_addr, info->ai_addrlen) ||
	    listen(fd, 16)) {
		err = fail(failure, errno, "cannot listen on %s port %s",
			   address, port);
		if (fd >= 0)
			close(fd);
		fd = err;
	}
	freeaddrinfo(info);
	return fd;
}

/*
 * A peer whose machine has gone is gone after half a minute; a line may be cut so long.
 * Keepalive is for a connection where nothing is under way, which TCP otherwise tries to
 * deliver for a quarter of an hour.
 */
static void set_options(int fd)
{
	int on = 1, idle = 5, interval = 5, count = 5, undelivered = 30000;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof(interval));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof(count));
	setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &undelivered,
		   sizeof(undelivered));
}

int wire_accept(int listen, struct failure *failure)
{
	int fd = accept4(listen, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0)
		return fail(failure, errno, "cannot accept");
	set_options(fd);
	return fd;
}

/* Returns 0, or -ETIMEDOUT; what is wrong with the socket its next use tells. */
static int wait_for(int fd, short events, uint64_t deadline)
{
	struct pollfd poll_fd = { .fd = fd, .events = events };

	do {
		if (poll(&poll_fd, 1, poll_ms(deadline)) > 0)
			return 0;
	} while (now_ns() < deadline);
	return -ETIMEDOUT;
}

static int connect_one(const struct addrinfo *info, uint64_t deadline)
{
	int fd = socket(info->ai_family,
			SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	socklen_t size = sizeof(int);
	int err = 0;

	if (fd < 0)
		return -errno;
	set_options(fd);
	if (connect(fd, info->ai_addr, info->ai_addrlen)) {
		err = errno;
		if (err == EINPROGRESS) {
			err = -wait_for(fd, POLLOUT, deadline);
			if (!err)
				getsockopt(fd, SOL_SOCKET, SO_ERROR, &err,
					   &size);
		}
	}
	if (!err)
		return fd;
	close(fd);
	return -err;
}

int wire_connect(const char *address, const char *port, uint64_t deadline,
		 struct failure *failure)
{
	struct addrinfo *info, *one;
	int fd;

	fd = resolve(address, port, 0, &info, failure);
	if (fd)
		return fd;
	for (one = info; one; one = one->ai_next) {
		fd = connect_one(one, deadline);
		if (fd >= 0)
			break;
	}
	freeaddrinfo(info);
	if (fd < 0)
		fail(failure, -fd, "cannot reach %s port %s", address, port);
	return fd;
}

static int write_all(int fd, const void *data, size_t n,
		     struct failure *failure)
{
	uint64_t deadline = now_ns() + SEND_TIMEOUT;
	const char *at = data;

	while (n) {
		ssize_t sent = send(fd, at, n, MSG_NOSIGNAL);

		if (sent >= 0) {
			at += sent;
			n -= sent;
		} else if (errno != EAGAIN && errno != EINTR) {
			return fail(failure, errno, "the peer is gone");
		} else if (wait_for(fd, POLLOUT, deadline)) {
			return fail(failure, ETIMEDOUT, "the peer takes nothing");
		}
	}
	return 0;
}

int wire_send(int fd, enum wire_type type, const uint64_t *words, size_t n,
	      struct failure *failure)
{
	size_t size = sizeof(struct header) + n * sizeof(uint64_t), i;
	struct header header = {
		.magic = htobe32(MAGIC),
		.version = htobe16(WIRE_VERSION),
		.type = htobe16(type),
		.words = htobe32(n),
	};
	char *bytes = malloc(size);
	int err;

	if (!bytes)
		return fail(failure, ENOMEM, "no memory");
	memcpy(bytes, &header, sizeof(header));
	for (i = 0; i < n; i++) {
		uint64_t word = htobe64(words[i]);

		memcpy(bytes + sizeof(header) + i * sizeof(word), &word,
		       sizeof(word));
	}
	err = write_all(fd, bytes, size, failure);
	free(bytes);
	return err;
}

int wire_refuse(int fd, const char *why, struct failure *failure)
{
	uint64_t words[32] = { 0 };
	size_t i;

	snprintf((char *)words, sizeof(words), "%s", why);
	/* Bytes in their order, whatever that is in a word here. */
	for (i = 0; i < ARRAY_SIZE(words); i++)
		words[i] = be64toh(words[i]);
	return wire_send(fd, WIRE_REFUSED, words, ARRAY_SIZE(words), failure);
}

static int read_all(int fd, void *data, size_t n, uint64_t deadline,
		    struct failure *failure)
{
	char *at = data;

	while (n) {
		ssize_t got = recv(fd, at, n, 0);

		if (got > 0) {
			at += got;
			n -= got;
		} else if (!got || (errno != EAGAIN && errno != EINTR)) {
			fail(failure, 0, "the peer is gone");
			return -ECONNRESET;
		} else if (wait_for(fd, POLLIN, deadline)) {
			return fail(failure, ETIMEDOUT, "the peer says nothing");
		}
	}
	return 0;
}

static int check_header(const struct header *header, struct failure *failure)
{
	if (be32toh(header->magic) != MAGIC)
		return fail(failure, EPROTO, "the peer is no uffdmr postcopy");
	if (be16toh(header->version) != WIRE_VERSION)
		return fail(failure, EPROTO,
			    "the peer speaks version %u of the protocol, this uffdmr speaks %u",
			    be16toh(header->version), WIRE_VERSION);
	if (!be16toh(header->type) || be16toh(header->type) >= WIRE_TYPES ||
	    be32toh(header->words) > MOST_WORDS)
		return fail(failure, EPROTO,
			    "the peer sent what is no message (type %u, %u words)",
			    be16toh(header->type), be32toh(header->words));
	return 0;
}

int wire_receive(int fd, struct wire_message *message, uint64_t deadline,
		 struct failure *failure)
{
	struct header header;
	size_t i;
	int err;

	*message = (struct wire_message){ 0 };
	err = read_all(fd, &header, sizeof(header), deadline, failure);
	if (!err)
		err = check_header(&header, failure);
	if (err)
		return err;
	message->type = be16toh(header.type);
	message->n = be32toh(header.words);
	message->words = calloc(message->n + 1, sizeof(uint64_t));
	if (!message->words)
		return fail(failure, ENOMEM, "no memory");
	err = read_all(fd, message->words, message->n * sizeof(uint64_t),
		       deadline, failure);
	if (err) {
		free(message->words);
		message->words = NULL;
		return err;
	}
	for (i = 0; i < message->n; i++)
		message->words[i] = be64toh(message->words[i]);
	return 0;
}

static int check_answer(const struct wire_message *message,
			enum wire_type answer, size_t n,
			struct failure *failure)
{
	size_t i;

	if (message->type == WIRE_REFUSED) {
		/* The word behind the last ends the text. */
		for (i = 0; i < message->n; i++)
			message->words[i] = htobe64(message->words[i]);
		fail(failure, 0, "refused: %s", (const char *)message->words);
		return -EACCES;
	}
	if (message->type != answer ||
	    (n != ANY_NUMBER && message->n != n))
		return fail(failure, EPROTO,
			    "the peer answered with message %d of %zu words",
			    message->type, message->n);
	return 0;
}

int wire_ask(int fd, enum wire_type type, const uint64_t *words, size_t n,
	     enum wire_type answer, size_t answer_n, struct wire_message *message,
	     uint64_t deadline, struct failure *failure)
{
	int err;

	err = wire_send(fd, type, words, n, failure);
	if (!err)
		err = wire_receive(fd, message, deadline, failure);
	if (err)
		return err;
	err = check_answer(message, answer, answer_n, failure);
	if (err) {
		free(message->words);
		message->words = NULL;
	}
	return err;
}
