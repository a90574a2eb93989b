/* SPDX-License-Identifier: Apache-2.0 */
#include "shila/wire/scion_addr.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

/* Texts: what parses is printed, and the print parses to the same and prints the same. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char ia_text[ISD_AS_STRLEN], ia_again[ISD_AS_STRLEN];
	char addr_text[SCION_ADDR_STRLEN], addr_again[SCION_ADDR_STRLEN];
	char e_text[SCION_ENDPOINT_STRLEN], e_again[SCION_ENDPOINT_STRLEN];
	struct scion_endpoint e, e2;
	struct scion_addr a, a2;
	struct isd_as ia, ia2;
	char *text = malloc(size + 1);

	MUST(text);
	memcpy(text, data, size);
	text[size] = '\0';
	if (!isd_as_parse(text, &ia)) {
		MUST(!isd_as_parse(isd_as_str(ia, ia_text), &ia2) && ia2.v == ia.v);
		MUST(!strcmp(ia_text, isd_as_str(ia2, ia_again)));
	}
	if (!scion_addr_parse(text, &a)) {
		MUST(a.host.len == 4 || a.host.len == 16);
		MUST(!scion_addr_parse(scion_addr_str(&a, addr_text), &a2) &&
		     scion_addr_eq(&a, &a2));
		MUST(!strcmp(addr_text, scion_addr_str(&a2, addr_again)));
		MUST(!scion_endpoint_parse(text, &e) && !e.port && scion_addr_eq(&e.addr, &a));
	}
	if (!scion_endpoint_parse(text, &e)) {
		MUST(!scion_endpoint_parse(scion_endpoint_str(&e, e_text), &e2));
		MUST(e2.port == e.port && scion_addr_eq(&e.addr, &e2.addr));
		MUST(!strcmp(e_text, scion_endpoint_str(&e2, e_again)));
	}
	free(text);
	return 0;
}
