#include "native.h"

int nw_add_kmsg(PyObject *module)
{
	return 0;
}
