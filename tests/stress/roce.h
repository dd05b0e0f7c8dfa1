/* SPDX-License-Identifier: GPL-2.0 */
#ifndef STRESS_ROCE_H
#define STRESS_ROCE_H

/*
 * RoCE v2 packets of our own making, sent from the right side of on-two-sides
 * to the device on the left.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <sched.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#define ROCE_PORT	4791

static struct {
	int socket;
	struct sockaddr_ll to;
	unsigned char left_mac[6], right_mac[6];
} line;

struct packet {
	unsigned char bytes[2048];
	size_t len;
};

static inline void put(struct packet *p, const void *bytes, size_t len)
{
	memcpy(p->bytes + p->len, bytes, len);
	p->len += len;
}

static inline void put32(struct packet *p, uint32_t value)
{
	value = htonl(value);
	put(p, &value, sizeof(value));
}

static inline void put64(struct packet *p, uint64_t value)
{
	put32(p, value >> 32);
	put32(p, value);
}

/* CRC-32 of Ethernet, without the inversions at the begin and the end. */
static inline uint32_t crc_add(uint32_t crc, const unsigned char *byte, size_t len)
{
	int bit;

	while (len--) {
		crc ^= *byte++;
		for (bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? 0xedb88320 : 0);
	}
	return crc;
}

#define IP_AT	sizeof(struct ether_header)
#define UDP_AT	(IP_AT + sizeof(struct iphdr))
#define BTH_AT	(UDP_AT + sizeof(struct udphdr))

static inline void set16(struct packet *p, size_t at, uint16_t value)
{
	p->bytes[at] = value >> 8;
	p->bytes[at + 1] = value;
}

/* What routers may change counts as ones: IBA annex A17. */
static inline uint32_t icrc(const struct packet *p)
{
	struct packet masked = { .len = p->len };
	uint32_t crc;

	memcpy(masked.bytes, p->bytes, p->len);
	masked.bytes[IP_AT + offsetof(struct iphdr, tos)] = 0xff;
	masked.bytes[IP_AT + offsetof(struct iphdr, ttl)] = 0xff;
	set16(&masked, IP_AT + offsetof(struct iphdr, check), 0xffff);
	set16(&masked, UDP_AT + offsetof(struct udphdr, check), 0xffff);
	if (p->len > BTH_AT + 4)
		masked.bytes[BTH_AT + 4] = 0xff;
	/* It begins with 8 bytes of ones, the place of another header. */
	crc = crc_add(~0U, (const unsigned char *)"\xff\xff\xff\xff\xff\xff\xff\xff", 8);
	return ~crc_add(crc, masked.bytes + IP_AT, masked.len - IP_AT);
}

/* Of an IP header whose own field for it is still 0. */
static inline uint16_t ip_checksum(const unsigned char *header)
{
	uint32_t sum = 0;
	size_t i;

	for (i = 0; i < sizeof(struct iphdr); i += 2)
		sum += header[i] << 8 | header[i + 1];
	sum = (sum & 0xffff) + (sum >> 16);
	return ~(sum + (sum >> 16));
}

static inline void begin_packet(struct packet *p)
{
	struct ether_header eth = { .ether_type = htons(ETHERTYPE_IP) };

	memcpy(eth.ether_dhost, line.left_mac, sizeof(line.left_mac));
	memcpy(eth.ether_shost, line.right_mac, sizeof(line.right_mac));
	p->len = 0;
	put(p, &eth, sizeof(eth));
	memset(p->bytes + p->len, 0, BTH_AT - IP_AT);
	p->len = BTH_AT;
}

/* Fill in what depends on the length, cut or not, and send. */
static inline int send_packet(struct packet *p, bool right_icrc,
			      uint32_t wrong_icrc)
{
	unsigned char *ip = p->bytes + IP_AT;
	in_addr_t from = inet_addr("10.9.0.2"), dest = inet_addr("10.9.0.1");
	uint32_t crc;

	ip[0] = 4 << 4 | sizeof(struct iphdr) / 4;
	set16(p, IP_AT + offsetof(struct iphdr, tot_len), p->len + 4 - IP_AT);
	set16(p, IP_AT + offsetof(struct iphdr, frag_off), 0x4000);
	ip[offsetof(struct iphdr, ttl)] = 64;
	ip[offsetof(struct iphdr, protocol)] = IPPROTO_UDP;
	memcpy(ip + offsetof(struct iphdr, saddr), &from, sizeof(from));
	memcpy(ip + offsetof(struct iphdr, daddr), &dest, sizeof(dest));
	set16(p, IP_AT + offsetof(struct iphdr, check), ip_checksum(ip));
	set16(p, UDP_AT + offsetof(struct udphdr, source), 0xc000);
	set16(p, UDP_AT + offsetof(struct udphdr, dest), ROCE_PORT);
	set16(p, UDP_AT + offsetof(struct udphdr, len), p->len + 4 - UDP_AT);

	crc = right_icrc ? icrc(p) : wrong_icrc;
	/* In the order of the CRC's own bits, that is little endian. */
	crc = htole32(crc);
	put(p, &crc, sizeof(crc));
	if (sendto(line.socket, p->bytes, p->len, 0, (void *)&line.to,
		   sizeof(line.to)) != (ssize_t)p->len)
		return errno == ENOBUFS ? 0 : -1;
	return 0;
}

static inline void put_bth(struct packet *p, unsigned int opcode,
			   unsigned int flags, uint16_t pkey, uint32_t qpn,
			   uint32_t psn)
{
	p->bytes[p->len++] = opcode;
	p->bytes[p->len++] = flags;
	pkey = htons(pkey);
	put(p, &pkey, sizeof(pkey));
	put32(p, qpn);
	put32(p, psn);
}

static inline int read_mac(const char *path, unsigned char *mac)
{
	FILE *f = fopen(path, "re");
	int n = 0;

	if (f) {
		n = fscanf(f, "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", &mac[0], &mac[1],
			   &mac[2], &mac[3], &mac[4], &mac[5]);
		fclose(f);
	}
	return n == 6 ? 0 : -1;
}

/* A socket lives in the network namespace that it was made in. */
static inline int open_line(void)
{
	int here = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	int there = open("/run/netns/right", O_RDONLY | O_CLOEXEC);
	struct ifreq req = { .ifr_name = "right-net" };

	if (here < 0 || there < 0 || setns(there, CLONE_NEWNET))
		return -1;
	line.socket = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	if (line.socket < 0 || ioctl(line.socket, SIOCGIFHWADDR, &req))
		return -1;
	memcpy(line.right_mac, req.ifr_hwaddr.sa_data, sizeof(line.right_mac));
	line.to = (struct sockaddr_ll){
		.sll_family = AF_PACKET,
		.sll_ifindex = if_nametoindex("right-net"),
		.sll_halen = 6,
	};
	if (setns(here, CLONE_NEWNET))
		return -1;
	return read_mac("/sys/class/net/left-net/address", line.left_mac);
}

#endif
