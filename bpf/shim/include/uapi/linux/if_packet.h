/* SPDX-License-Identifier: GPL-2.0 */
/* bcc asks for the kernel tree's path; the distribution keeps the same header without uapi/. */
#include_next <linux/if_packet.h>
