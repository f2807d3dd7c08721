// The module monitor._native: its parts are described in monitor/_native.pyi.
#include "native.h"

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "monitor._native",
    .m_doc = "Decoders, matching and waiting in C; Python code of the same meaning is the reference.",
    .m_size = -1,
};

PyMODINIT_FUNC PyInit__native(void)
{
	PyObject *module = PyModule_Create(&definition);

	if (!module)
		return NULL;
	if (PyModule_AddIntConstant(module, "INTERFACE", NW_INTERFACE) || nw_add_regex(module) ||
	    nw_add_confirm(module) || nw_add_kmsg(module) || nw_add_quiet(module) || nw_add_text(module)) {
		Py_DECREF(module);
		return NULL;
	}
	return module;
}
