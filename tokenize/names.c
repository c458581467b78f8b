/* names.c - the lists of element and attribute names behind the numbers in documents.
 *
 * Looking up by name walks the list comparing lengths first; the parser, which looks up every tag of
 * a page, builds its own hash from the same lists. */
#include "base/vlm.h"

#include "tokenize/document.h"
#include "tokenize/names.h"

struct name {
    const char *text;
    uint8_t length;
};

static const struct name element_names[] = {
#define X(name) { #name, sizeof(#name) - 1 },
    VLM_ELEMENTS(X)
#undef X
};

static const struct name attribute_names[] = {
#define X(name) { #name, sizeof(#name) - 1 },
    VLM_ATTRIBUTES(X)
#undef X
};

static int find(const struct name *names, size_t count, const char *text, size_t n)
{
    for (size_t i = 0; i < count; i++)
        if (names[i].length == n && !memcmp(names[i].text, text, n))
            return (int)i;
    return -1;
}

const char *vlm_element_name(unsigned element)
{
    return element < VLM_COUNTOF(element_names) ? element_names[element].text : NULL;
}

const char *vlm_attribute_name(unsigned attribute)
{
    return attribute < VLM_COUNTOF(attribute_names) ? attribute_names[attribute].text : NULL;
}

int vlm_element_find(const char *name, size_t n)
{
    return find(element_names, VLM_COUNTOF(element_names), name, n);
}

int vlm_attribute_find(const char *name, size_t n)
{
    return find(attribute_names, VLM_COUNTOF(attribute_names), name, n);
}
