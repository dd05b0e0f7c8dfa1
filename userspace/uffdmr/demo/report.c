// SPDX-License-Identifier: GPL-2.0
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <sys/utsname.h>

#include "demo.h"

static const char *node_type(const struct rdma_dev *dev)
{
	return ibv_node_type_str(dev->ctx->device->node_type);
}

static const char *gid_text(const struct rdma_dev *dev, char *text,
			    size_t size)
{
	if (dev->gid_index < 0)
		return "none";
	if (!inet_ntop(AF_INET6, dev->gid.raw, text, size))
		return "unknown";
	return text;
}

static const char *milliseconds(uint64_t ns, char *text, size_t size)
{
	snprintf(text, size, "%.3f ms", ns / 1e6);
	return text;
}

/* In ns; all zero if nothing was measured. */
struct latency {
	bool measured;
	uint64_t median, p99;
};

static struct latency access_latency(struct demo_result *result)
{
	return (struct latency){
		.measured = result->access.count,
		.median = samples_percentile(&result->access, 50),
		.p99 = samples_percentile(&result->access, 99),
	};
}

static struct latency handler_latency(const struct demo_result *result)
{
	return (struct latency){
		.measured = result->handler.latency_count,
		.median = uffdmr_percentile(&result->handler, 50),
		.p99 = uffdmr_percentile(&result->handler, 99),
	};
}

static void report_latency(const char *title, struct latency latency,
			   const char *what)
{
	char median[32], p99[32];

	if (!latency.measured)
		return;
	printf("%-15s median %s, p99 %s (%s)\n", title,
	       milliseconds(latency.median, median, sizeof(median)),
	       milliseconds(latency.p99, p99, sizeof(p99)), what);
}

static void report_text(struct demo_result *result, const struct utsname *uts)
{
	struct rdma_dev *dev = &result->dev;
	char gid[INET6_ADDRSTRLEN];
	char time[32];

	printf("device          %s port %u (%s, firmware %s), GID %d %s\n",
	       rdma_dev_name(dev), dev->port, node_type(dev),
	       dev->attr.orig_attr.fw_ver[0] ? dev->attr.orig_attr.fw_ver :
	       "none", dev->gid_index, gid_text(dev, gid, sizeof(gid)));
	printf("kernel          %s %s %s\n", uts->sysname, uts->release,
	       uts->machine);
	printf("region          %zu pages of %zu bytes, none present; each supplied %s after it is asked for\n",
	       result->pages, result->page_size,
	       milliseconds(result->page_latency_ns, time, sizeof(time)));
	printf("RDMA READ       %u requests, %" PRIu64 " bytes\n",
	       result->requests[0], result->bytes[0]);
	printf("RDMA WRITE      %u requests, %" PRIu64 " bytes\n",
	       result->requests[1], result->bytes[1]);
	printf("faults          %u seen by the handler\n", result->messages);
	printf("time            %s\n",
	       milliseconds(result->time_ns, time, sizeof(time)));
	report_latency("fault latency", access_latency(result),
		       "one-page request posted to its completion");
	report_latency("handler", handler_latency(result),
		       "fault message read to page in place");
	if (result->right)
		printf("verdict         PASS: every byte is right\n");
	else
		printf("verdict         FAIL: %s\n", result->wrong);
}

static json_t *json_latency(struct latency latency)
{
	if (!latency.measured)
		return json_null();
	return json_pack("{sI sI}", "median", (json_int_t)latency.median,
			 "p99", (json_int_t)latency.p99);
}

static json_t *json_direction(const struct demo_result *result, int direction)
{
	return json_pack("{sI sI}", "requests",
			 (json_int_t)result->requests[direction], "bytes",
			 (json_int_t)result->bytes[direction]);
}

static int report_json(struct demo_result *result, const struct utsname *uts)
{
	struct rdma_dev *dev = &result->dev;
	char gid[INET6_ADDRSTRLEN];
	json_t *root;
	int err;

	root = json_pack("{s{ss si ss ss si ss} ss sI sI sI so so sI sI so so sb ss*}",
			 "device",
			 "name", rdma_dev_name(dev),
			 "port", dev->port,
			 "node_type", node_type(dev),
			 "firmware", dev->attr.orig_attr.fw_ver,
			 "gid_index", dev->gid_index,
			 "gid", gid_text(dev, gid, sizeof(gid)),
			 "kernel", uts->release,
			 "pages", (json_int_t)result->pages,
			 "page_size", (json_int_t)result->page_size,
			 "page_latency", (json_int_t)result->page_latency_ns,
			 "read", json_direction(result, 0),
			 "write", json_direction(result, 1),
			 "faults", (json_int_t)result->messages,
			 "time", (json_int_t)result->time_ns,
			 "fault_latency", json_latency(access_latency(result)),
			 "handler_latency", json_latency(handler_latency(result)),
			 "pass", result->right,
			 "wrong", result->right ? NULL : result->wrong);
	if (!root)
		return -ENOMEM;
	err = json_dumpf(root, stdout, JSON_INDENT(2));
	json_decref(root);
	putchar('\n');
	return err ? -EIO : 0;
}

int demo_report(struct demo_result *result, bool json)
{
	struct utsname uts;
	int err = 0;

	if (uname(&uts))
		return -errno;
	if (json)
		err = report_json(result, &uts);
	else
		report_text(result, &uts);
	if (fflush(stdout) || ferror(stdout))
		err = -EIO;
	return err;
}
