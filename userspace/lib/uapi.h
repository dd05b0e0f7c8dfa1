/* SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB */
#ifndef UFFDMR_UAPI_H
#define UFFDMR_UAPI_H

/* What the library uses of Linux that a system's headers may not have yet. */

#include <linux/fs.h>
#include <linux/userfaultfd.h>

#ifndef UFFD_FEATURE_POISON	/* Linux 6.6 */
#define UFFD_FEATURE_POISON	0x4000
struct uffdio_poison {
	struct uffdio_range range;
	__u64 mode;
	__s64 updated;
};
#define UFFDIO_POISON_MODE_DONTWAKE	((__u64)0x1)
#define UFFDIO_POISON		_IOWR(UFFDIO, 0x08, struct uffdio_poison)
#endif

#ifndef UFFDIO_CONTINUE_MODE_WP	/* Linux 6.4 */
#define UFFDIO_CONTINUE_MODE_WP	((__u64)0x2)
#endif

#ifndef UFFD_FEATURE_WP_ASYNC	/* Linux 6.7 */
#define UFFD_FEATURE_WP_ASYNC	0x8000
#endif

#ifndef PAGEMAP_SCAN		/* Linux 6.7 */
#define PAGE_IS_WRITTEN		0x2
#define PAGE_IS_PRESENT		0x8
#define PAGE_IS_SWAPPED		0x10
#define PM_SCAN_WP_MATCHING	0x1
#define PM_SCAN_CHECK_WPASYNC	0x2
struct page_region {
	__u64 start;
	__u64 end;
	__u64 categories;
};
struct pm_scan_arg {
	__u64 size;
	__u64 flags;
	__u64 start;
	__u64 end;
	__u64 walk_end;
	__u64 vec;
	__u64 vec_len;
	__u64 max_pages;
	__u64 category_inverted;
	__u64 category_mask;
	__u64 category_anyof_mask;
	__u64 return_mask;
};
#define PAGEMAP_SCAN		_IOWR('f', 16, struct pm_scan_arg)
#endif

#ifndef PROCMAP_QUERY		/* Linux 6.11 */
#define PROCMAP_QUERY_VMA_READABLE		0x01
#define PROCMAP_QUERY_VMA_SHARED		0x08
#define PROCMAP_QUERY_COVERING_OR_NEXT_VMA	0x10
struct procmap_query {
	__u64 size;
	__u64 query_flags;
	__u64 query_addr;
	__u64 vma_start;
	__u64 vma_end;
	__u64 vma_flags;
	__u64 vma_page_size;
	__u64 vma_offset;
	__u64 inode;
	__u32 dev_major;
	__u32 dev_minor;
	__u32 vma_name_size;
	__u32 build_id_size;
	__u64 vma_name_addr;
	__u64 build_id_addr;
};
#define PROCMAP_QUERY		_IOWR('f', 17, struct procmap_query)
#endif

#endif
