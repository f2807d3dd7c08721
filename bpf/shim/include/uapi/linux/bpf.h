/* SPDX-License-Identifier: GPL-2.0 */
/* bcc brings its own copy of this header and includes it first. */
