/* SPDX-License-Identifier: MIT */
/* The text of an errno, without the buffer that strerror() shares between threads. */
#ifndef WSI_CORE_ERRNO_TEXT_H
#define WSI_CORE_ERRNO_TEXT_H

/** @return (borrowed) static text, never NULL; "no error" for 0. */
const char *wsi_errno_text(int error);

#endif
