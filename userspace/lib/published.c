// SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "published.h"

struct published_file *published_create(uint32_t slots, int *fd)
{
	struct published_file *file = MAP_FAILED;
	int err;

	*fd = memfd_create(PUBLISHED_NAME, MFD_CLOEXEC);
	if (*fd < 0)
		return NULL;
	if (!ftruncate(*fd, published_size(slots)))
		file = mmap(NULL, published_size(slots), PROT_READ | PROT_WRITE,
			    MAP_SHARED, *fd, 0);
	if (file == MAP_FAILED) {
		err = errno;
		close(*fd);
		*fd = -1;
		errno = err;
		return NULL;
	}
	file->slot_size = sizeof(struct published);
	file->slots = slots;
	file->magic = PUBLISHED_MAGIC;
	return file;
}

void published_end(struct published_file *file, int fd)
{
	munmap(file, published_size(file->slots));
	close(fd);
}

bool published_take(struct published *slot)
{
	const char *name = program_invocation_short_name;

	if (!__sync_bool_compare_and_swap(&slot->pid, 0, getpid()))
		return false;
	memcpy(slot->program, name, strnlen(name, sizeof(slot->program) - 1));
	return true;
}
