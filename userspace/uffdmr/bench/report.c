// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <sys/utsname.h>

#include "bench.h"
#include "format.h"

double megabytes_per_second(const struct bench_result *result, uint64_t ns)
{
	return ns ? 1e3 * result->options->region / ns : 0;
}

/* What is told of a cell; every format has all of it. */
struct row {
	const char *operation;
	uint64_t latency_ns, size;
	unsigned int qps;
	uint64_t cold_ns, resident_ns, touch_ns;
	double cold, resident, touch;		/* MB/s */
	double of_touch, of_resident;		/* cold bandwidth, divided by it */
	uint64_t median_ns, p99_ns;		/* of a fault */
};

static struct row row_of(const struct bench_result *result, struct cell *cell)
{
	struct row row = {
		.operation = operation_names[cell->operation],
		.latency_ns = cell->touch->latency_ns,
		.size = cell->size,
		.qps = cell->qps,
		.cold_ns = samples_percentile(&cell->cold_ns, 50),
		.resident_ns = samples_percentile(&cell->resident_ns, 50),
		.touch_ns = samples_percentile(&cell->touch->ns, 50),
		.median_ns = uffdmr_percentile(&cell->faults, 50),
		.p99_ns = uffdmr_percentile(&cell->faults, 99),
	};

	row.cold = megabytes_per_second(result, row.cold_ns);
	row.resident = megabytes_per_second(result, row.resident_ns);
	row.touch = megabytes_per_second(result, row.touch_ns);
	row.of_touch = row.cold / row.touch;
	row.of_resident = row.cold / row.resident;
	return row;
}

static void report_table(const struct bench_result *result,
			 const struct utsname *uts)
{
	const struct bench_options *options = result->options;
	char size[16], latency[24];
	size_t i;

	printf("device  %s port %u, kernel %s %s %s\n",
	       rdma_dev_name(&result->dev), result->dev.port, uts->sysname,
	       uts->release, uts->machine);
	printf("region  %s in pages of %zu bytes; %d messages in flight on each QP; median of %u runs\n\n",
	       format_size(options->region, size, sizeof(size)),
	       result->page_size, IN_FLIGHT, options->runs);
	printf("                       page      cold  resident     touch   cold/      cold/   fault latency, us\n");
	printf("op       size  QPs  latency      MB/s      MB/s      MB/s   touch   resident    median       p99\n");
	for (i = 0; i < result->n_cells; i++) {
		struct row row = row_of(result, &result->cells[i]);

		printf("%-5s %7s %4u %8s %9.2f %9.2f %9.2f %7.2f %10.3f %9.1f %9.1f\n",
		       row.operation, format_size(row.size, size, sizeof(size)),
		       row.qps,
		       format_time(row.latency_ns, latency, sizeof(latency)),
		       row.cold, row.resident, row.touch, row.of_touch,
		       row.of_resident, row.median_ns / 1e3, row.p99_ns / 1e3);
	}
}

static void report_csv(const struct bench_result *result)
{
	size_t i;

	printf("op,size_bytes,qps,page_latency_ns,cold_ns,resident_ns,touch_ns,cold_mb_s,resident_mb_s,touch_mb_s,cold_by_touch,cold_by_resident,fault_median_ns,fault_p99_ns\n");
	for (i = 0; i < result->n_cells; i++) {
		struct row row = row_of(result, &result->cells[i]);

		printf("%s,%" PRIu64 ",%u,%" PRIu64, row.operation, row.size,
		       row.qps, row.latency_ns);
		printf(",%" PRIu64 ",%" PRIu64 ",%" PRIu64, row.cold_ns,
		       row.resident_ns, row.touch_ns);
		printf(",%.3f,%.3f,%.3f,%.4f,%.4f", row.cold, row.resident,
		       row.touch, row.of_touch, row.of_resident);
		printf(",%" PRIu64 ",%" PRIu64 "\n", row.median_ns, row.p99_ns);
	}
}

static json_t *json_bandwidth(uint64_t ns, double mb_s)
{
	return json_pack("{sI sf}", "time", (json_int_t)ns, "mb_s", mb_s);
}

static json_t *json_row(const struct row *row)
{
	return json_pack("{ss sI si sI so so so sf sf s{sI sI}}",
			 "op", row->operation,
			 "size", (json_int_t)row->size,
			 "qps", row->qps,
			 "page_latency", (json_int_t)row->latency_ns,
			 "cold", json_bandwidth(row->cold_ns, row->cold),
			 "resident", json_bandwidth(row->resident_ns,
						    row->resident),
			 "touch", json_bandwidth(row->touch_ns, row->touch),
			 "cold_by_touch", row->of_touch,
			 "cold_by_resident", row->of_resident,
			 "fault_latency",
			 "median", (json_int_t)row->median_ns,
			 "p99", (json_int_t)row->p99_ns);
}

static int report_json(const struct bench_result *result,
		       const struct utsname *uts)
{
	const struct bench_options *options = result->options;
	json_t *rows = json_array(), *root;
	size_t i;
	int err;

	for (i = 0; i < result->n_cells; i++) {
		struct row row = row_of(result, &result->cells[i]);

		if (json_array_append_new(rows, json_row(&row)))
			goto err;
	}
	root = json_pack("{s{ss si} ss sI sI si si sO}",
			 "device",
			 "name", rdma_dev_name(&result->dev),
			 "port", result->dev.port,
			 "kernel", uts->release,
			 "region", (json_int_t)options->region,
			 "page_size", (json_int_t)result->page_size,
			 "in_flight", IN_FLIGHT,
			 "runs", options->runs,
			 "results", rows);
	if (!root)
		goto err;
	err = json_dumpf(root, stdout, JSON_INDENT(2));
	json_decref(root);
	json_decref(rows);
	putchar('\n');
	return err ? -EIO : 0;
err:
	json_decref(rows);
	return -ENOMEM;
}

int bench_report(const struct bench_result *result)
{
	struct utsname uts;
	int err = 0;

	if (uname(&uts))
		return -errno;
	switch (result->options->format) {
	case TABLE:
		report_table(result, &uts);
		break;
	case JSON:
		err = report_json(result, &uts);
		break;
	case CSV:
		report_csv(result);
		break;
	}
	if (fflush(stdout) || ferror(stdout))
		err = -EIO;
	return err;
}
