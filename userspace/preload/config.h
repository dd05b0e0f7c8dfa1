/* SPDX-License-Identifier: GPL-2.0 */
#ifndef PRELOAD_CONFIG_H
#define PRELOAD_CONFIG_H

/* How "uffdmr run" tells the library that it preloads what to do. */
#define CONFIG_VARIABLE	"UFFDMR_RUN"

enum distribution { UNIFORM, NORMAL, EXPONENTIAL };

/* One type for all: they go through the variable. */
struct preload_config {
	unsigned long long latency_ns;	/* from a fault to its page */
	unsigned long long jitter_ns;	/* how far it is from that, in the shape of: */
	unsigned long long distribution;
	unsigned long long fail_ppm;	/* of a million pages asked for so many fail */
	unsigned long long populate;	/* pages a second that nobody asks for */
	unsigned long long seed;
	/* Where statistics go: that descriptor of that process. */
	unsigned long long pid, fd;
};

/* The variable's value, for printf() and scanf(). */
#define CONFIG_FORMAT \
	"latency=%llu jitter=%llu distribution=%llu fail=%llu populate=%llu seed=%llu stats=%llu/%llu"
#define CONFIG_FIELDS	8

/* Of userfaultfd; uapi.h has what an older system does not know of them. */
#define PRELOAD_FEATURES						\
	(UFFD_FEATURE_MISSING_SHMEM | UFFD_FEATURE_MISSING_HUGETLBFS |	\
	 UFFD_FEATURE_MINOR_SHMEM | UFFD_FEATURE_MINOR_HUGETLBFS |	\
	 UFFD_FEATURE_EVENT_REMAP | UFFD_FEATURE_EVENT_REMOVE |		\
	 UFFD_FEATURE_EVENT_UNMAP | UFFD_FEATURE_POISON)

#endif
