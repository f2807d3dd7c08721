// Packets of the kernel log as the events of monitor/model/events.py.
#ifndef NODEWARDEN_KMSG_EVENT_H
#define NODEWARDEN_KMSG_EVENT_H

#include "kmsg_line.h"
#include "native.h"

#define NW_SLOTS 256 // a power of two

// A string that events share, and whether lines with this log prefix count: -1 unknown.
struct nw_slot {
	PyObject *string;
	int counts;
};

struct nw_packet_events {
	PyObject *packet, *quoted; // the types of events
	struct nw_slot slots[NW_SLOTS];
};

// A string for this ASCII text: the same object for the same text, mostly. *slot is where it is kept, or NULL.
PyObject *nw_shared_string(struct nw_packet_events *events, struct nw_text text, struct nw_slot **slot);

// The event; NULL with an exception set.
PyObject *nw_packet_event(struct nw_packet_events *events, const struct nw_packet *packet, PyObject *prefix,
			  double time_s);

int nw_packet_events_traverse(struct nw_packet_events *events, visitproc visit, void *arg);
void nw_packet_events_clear(struct nw_packet_events *events);

#endif
