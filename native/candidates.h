// The lines of a block that some expression may match.
#ifndef NODEWARDEN_CANDIDATES_H
#define NODEWARDEN_CANDIDATES_H

#include "native.h"

struct nw_candidate {
	Py_ssize_t start, end; // of the line, with its newline
	Py_ssize_t number;     // of the first expression that may match
};

// The candidate at an index of a sequence: monitor._native.Candidates, or a list of tuples (start, end, numbers).
// 0, or -1 with an exception set.
int nw_candidate_at(PyObject *candidates, Py_ssize_t index, struct nw_candidate *found);

// Add a match of a fragment, in a line that ends before `end`, to a monitor._native.Candidates: 0, or -1 with an
// exception set.
int nw_candidates_add(PyObject *candidates, Py_ssize_t fragment, Py_ssize_t end);

#endif
