/* SPDX-License-Identifier: MIT */
/*
 * The adapter within the process, "memory:NAME": servers that name the same broker are
 * nodes of one cluster, on whatever runtimes. It is there as long as one of them has it
 * open, and keeps what a broker keeps in memory. What it does is done at once, under its
 * lock; what it tells comes by mail on a worker of whoever is told, in order. A node that
 * takes too little of that loses its link for a moment, and what waited for it.
 *
 * It fails as brokers do where a test asks for that.
 */
#ifndef WSI_CLUSTER_MEMORY_H
#define WSI_CLUSTER_MEMORY_H

#include "cluster/bus.h"

extern const struct wsi_bus_type wsi_bus_memory;

enum wsi_bus_fault {
    WSI_FAULT_AWAY,          /* 1: no node reaches it; 0: all do again */
    WSI_FAULT_SLOW,          /* what it tells takes so many milliseconds */
    WSI_FAULT_LOSE_ANSWERS,  /* one of so many answers gets lost; 0: none */
    WSI_FAULT_LOSE_MESSAGES, /* the same of arriving messages, of which nobody is told */
    WSI_FAULT_LOSE_LINKS,    /* the same, and the node is cut off, and back at once */
    WSI_FAULT_TWICE,         /* one of so many messages arrives twice */
    WSI_FAULT_REFUSE,        /* 1: it has no memory for messages; 0: it has again */
    WSI_FAULT_EMPTY,         /* it forgets all messages, and each node's link is cut */
    WSI_FAULT_REMEMBER,      /* a dump of them is made, */
    WSI_FAULT_RESTORE,       /* to which it falls back, and each node's link is cut */
};

/** @return 0; WSOCK_ENOENT when no node has that broker open; WSOCK_ENOMEM. Any thread. */
int wsi_bus_memory_fault(const char *name, enum wsi_bus_fault fault, uint64_t value);

/** Cut one node off for good, as if its machine had lost its network: the others find it
 *  gone. @param node its id, or the beginning of its description. @return as above. */
int wsi_bus_memory_cut(const char *name, const char *description, bool cut);

#endif
