/* SPDX-License-Identifier: GPL-2.0 */
#ifndef WIRE_H
#define WIRE_H

/*
 * What source, destination and clients say to each other over TCP: messages of 64 bit
 * words. Data never goes this way.
 */

#include <netdb.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "failure.h"

#define WIRE_VERSION	1

/* A number of words that depends on the table. */
#define ANY_NUMBER	SIZE_MAX

enum wire_type {
	/* Destination to source, and the answer. */
	WIRE_HELLO = 1,		/* session, page size */
	WIRE_TABLE,		/* length */
	WIRE_TRACK,		/* note what is written from now on */
	WIRE_TRACKED,
	WIRE_ASK_DIRTY,		/* what was written since the last time? */
	WIRE_DIRTY,		/* a bit a page */
	WIRE_STOP,		/* the workload */
	WIRE_STOPPED,
	WIRE_START,		/* it is mine from now on */
	WIRE_STATE,		/* enum state_word */
	WIRE_DONE,		/* nothing is missing any more: the source may end */
	WIRE_THANKS,
	/* Of a client, to where the workload is. */
	WIRE_RESULT,		/* enum result_word, and a word a bucket, the last begun */
	WIRE_NOTED,
	/* The answer to anything: a text, eight bytes a word. */
	WIRE_REFUSED,
	WIRE_TYPES
};

/* What moves with the workload besides its memory. */
enum state_word {
	STATE_STEPS,
	STATE_RANDOM,
	STATE_GENERATION,
	STATE_CLIENTS,		/* connected when it stopped */
	STATE_WORDS
};

enum result_word {
	RESULT_NOW,		/* of the client's clock, as the other times */
	RESULT_START,
	RESULT_BUCKET_NS,
	RESULT_CLIENTS,
	RESULT_OPERATIONS,
	RESULT_WRITES,		/* acknowledged */
	RESULT_GAP_NS,		/* of the client that waited longest for the move */
	RESULT_LOST,		/* writes that went with a destination */
	RESULT_WRONG,
	RESULT_WORDS
};

struct wire_message {
	enum wire_type type;
	size_t n;
	uint64_t *words;	/* free() them */
};

/* Returns a descriptor or a negative errno. */
int wire_listen(const char *address, const char *port, struct failure *failure);
int wire_accept(int listen, struct failure *failure);
int wire_connect(const char *address, const char *port, uint64_t deadline,
		 struct failure *failure);

int wire_send(int fd, enum wire_type type, const uint64_t *words, size_t n,
	      struct failure *failure);
int wire_refuse(int fd, const char *why, struct failure *failure);

/* 0 or a negative errno: -ECONNRESET if there is no peer any more. */
int wire_receive(int fd, struct wire_message *message, uint64_t deadline,
		 struct failure *failure);

/*
 * Send, and wait for an answer of type @answer with @n words. On success its words
 * are the caller's.
 */
int wire_ask(int fd, enum wire_type type, const uint64_t *words, size_t n,
	     enum wire_type answer, size_t answer_n, struct wire_message *message,
	     uint64_t deadline, struct failure *failure);

#endif
