/* SPDX-License-Identifier: GPL-2.0 OR Linux-OpenIB */
/*
 * The life of a page fault, and of the operations that wait for it. @id joins them.
 */

#undef TRACE_SYSTEM
#define TRACE_SYSTEM rxe_odp

#if !defined(RXE_ODP_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define RXE_ODP_TRACE_H

#include <linux/tracepoint.h>

TRACE_EVENT(rxe_odp_fault_start,
	TP_PROTO(u64 id, pid_t tgid, unsigned long va, int access,
		 bool prefetch),
	TP_ARGS(id, tgid, va, access, prefetch),
	TP_STRUCT__entry(
		__field(u64, id)
		__field(pid_t, tgid)
		__field(unsigned long, va)
		__field(int, access)
		__field(bool, prefetch)
	),
	TP_fast_assign(
		__entry->id = id;
		__entry->tgid = tgid;
		__entry->va = va;
		__entry->access = access;
		__entry->prefetch = prefetch;
	),
	TP_printk("id=%llu tgid=%d va=0x%lx access=%s prefetch=%d",
		  __entry->id, __entry->tgid, __entry->va,
		  __entry->access == RXE_ODP_WRITE ? "write" : "read",
		  __entry->prefetch)
);

/* Its message is with a userfaultfd now. */
TRACE_EVENT(rxe_odp_fault_asked,
	TP_PROTO(u64 id, pid_t tgid, unsigned long va),
	TP_ARGS(id, tgid, va),
	TP_STRUCT__entry(
		__field(u64, id)
		__field(pid_t, tgid)
		__field(unsigned long, va)
	),
	TP_fast_assign(
		__entry->id = id;
		__entry->tgid = tgid;
		__entry->va = va;
	),
	TP_printk("id=%llu tgid=%d va=0x%lx", __entry->id, __entry->tgid,
		  __entry->va)
);

TRACE_EVENT(rxe_odp_fault_end,
	TP_PROTO(u64 id, pid_t tgid, unsigned long va, int err, u64 ns),
	TP_ARGS(id, tgid, va, err, ns),
	TP_STRUCT__entry(
		__field(u64, id)
		__field(pid_t, tgid)
		__field(unsigned long, va)
		__field(int, err)
		__field(u64, ns)
	),
	TP_fast_assign(
		__entry->id = id;
		__entry->tgid = tgid;
		__entry->va = va;
		__entry->err = err;
		__entry->ns = ns;
	),
	TP_printk("id=%llu tgid=%d va=0x%lx err=%d ns=%llu", __entry->id,
		  __entry->tgid, __entry->va, __entry->err, __entry->ns)
);

DECLARE_EVENT_CLASS(rxe_odp_qp,
	TP_PROTO(u64 id, u32 qpn, unsigned long va),
	TP_ARGS(id, qpn, va),
	TP_STRUCT__entry(
		__field(u64, id)
		__field(u32, qpn)
		__field(unsigned long, va)
	),
	TP_fast_assign(
		__entry->id = id;
		__entry->qpn = qpn;
		__entry->va = va;
	),
	TP_printk("id=%llu qpn=%u va=0x%lx", __entry->id, __entry->qpn,
		  __entry->va)
);

DEFINE_EVENT(rxe_odp_qp, rxe_odp_park,
	TP_PROTO(u64 id, u32 qpn, unsigned long va),
	TP_ARGS(id, qpn, va));

/* The page fault has ended, and the QP is told. */
DEFINE_EVENT(rxe_odp_qp, rxe_odp_wake,
	TP_PROTO(u64 id, u32 qpn, unsigned long va),
	TP_ARGS(id, qpn, va));

/* The request will come again: RC sends an RNR NAK, UC and UD drop it. */
DEFINE_EVENT(rxe_odp_qp, rxe_odp_put_off,
	TP_PROTO(u64 id, u32 qpn, unsigned long va),
	TP_ARGS(id, qpn, va));

/* The operation is over. */
DEFINE_EVENT(rxe_odp_qp, rxe_odp_cancel,
	TP_PROTO(u64 id, u32 qpn, unsigned long va),
	TP_ARGS(id, qpn, va));

#endif /* RXE_ODP_TRACE_H */

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE rxe_odp_trace
#include <trace/define_trace.h>
