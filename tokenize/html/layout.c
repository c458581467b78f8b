/* layout.c - the layout of each element, as one table.
 *
 * Elements that are not in the table are inline. CSS is not looked at. */
#include "base/vlm.h"

#include "tokenize/html/layout.h"
#include "tokenize/names.h"

#define E(name) [VLM_ELEMENT_##name]

static const uint8_t layout_of[VLM_ELEMENT_COUNT] = {
    E(br) = VLM_LAYOUT_BREAK,      E(td) = VLM_LAYOUT_CELL,
    E(th) = VLM_LAYOUT_CELL,       E(blockquote) = VLM_LAYOUT_BLANK,
    E(dl) = VLM_LAYOUT_BLANK,      E(h1) = VLM_LAYOUT_BLANK,
    E(h2) = VLM_LAYOUT_BLANK,      E(h3) = VLM_LAYOUT_BLANK,
    E(h4) = VLM_LAYOUT_BLANK,      E(h5) = VLM_LAYOUT_BLANK,
    E(h6) = VLM_LAYOUT_BLANK,      E(ol) = VLM_LAYOUT_BLANK,
    E(p) = VLM_LAYOUT_BLANK,       E(ul) = VLM_LAYOUT_BLANK,
    E(pre) = VLM_LAYOUT_BLANK,     E(listing) = VLM_LAYOUT_BLANK,
    E(xmp) = VLM_LAYOUT_BLANK,     E(plaintext) = VLM_LAYOUT_BLANK,
    E(table) = VLM_LAYOUT_BLANK,   E(html) = VLM_LAYOUT_LINE,
    E(head) = VLM_LAYOUT_LINE,     E(title) = VLM_LAYOUT_LINE,
    E(body) = VLM_LAYOUT_LINE,     E(address) = VLM_LAYOUT_LINE,
    E(article) = VLM_LAYOUT_LINE,  E(aside) = VLM_LAYOUT_LINE,
    E(caption) = VLM_LAYOUT_LINE,  E(center) = VLM_LAYOUT_LINE,
    E(dd) = VLM_LAYOUT_LINE,       E(details) = VLM_LAYOUT_LINE,
    E(dialog) = VLM_LAYOUT_LINE,   E(dir) = VLM_LAYOUT_LINE,
    E(div) = VLM_LAYOUT_LINE,      E(dt) = VLM_LAYOUT_LINE,
    E(fieldset) = VLM_LAYOUT_LINE, E(figcaption) = VLM_LAYOUT_LINE,
    E(figure) = VLM_LAYOUT_LINE,   E(footer) = VLM_LAYOUT_LINE,
    E(form) = VLM_LAYOUT_LINE,     E(frameset) = VLM_LAYOUT_LINE,
    E(header) = VLM_LAYOUT_LINE,   E(hgroup) = VLM_LAYOUT_LINE,
    E(hr) = VLM_LAYOUT_LINE,       E(legend) = VLM_LAYOUT_LINE,
    E(li) = VLM_LAYOUT_LINE,       E(main) = VLM_LAYOUT_LINE,
    E(marquee) = VLM_LAYOUT_LINE,  E(menu) = VLM_LAYOUT_LINE,
    E(nav) = VLM_LAYOUT_LINE,      E(noframes) = VLM_LAYOUT_LINE,
    E(optgroup) = VLM_LAYOUT_LINE, E(option) = VLM_LAYOUT_LINE,
    E(search) = VLM_LAYOUT_LINE,   E(section) = VLM_LAYOUT_LINE,
    E(summary) = VLM_LAYOUT_LINE,  E(tbody) = VLM_LAYOUT_LINE,
    E(tfoot) = VLM_LAYOUT_LINE,    E(thead) = VLM_LAYOUT_LINE,
    E(tr) = VLM_LAYOUT_LINE,
};

static const bool has_no_end[VLM_ELEMENT_COUNT] = {
    E(area) = true,  E(base) = true,  E(br) = true,     E(col) = true,   E(embed) = true,
    E(frame) = true, E(hr) = true,    E(img) = true,    E(input) = true, E(link) = true,
    E(meta) = true,  E(param) = true, E(source) = true, E(track) = true, E(wbr) = true,
};

enum vlm_layout vlm_element_layout(unsigned element)
{
    return element < VLM_ELEMENT_COUNT ? (enum vlm_layout)layout_of[element] : VLM_LAYOUT_INLINE;
}

/* Bytes that may be, or begin, white space. */
static const bool space_begins[256] = {
    ['\t'] = true, ['\n'] = true, ['\v'] = true, ['\f'] = true,
    ['\r'] = true, [' '] = true,  [0xc2] = true,
};

size_t vlm_words_at(const char *p, size_t n)
{
    for (size_t i = 0;; i++) {
        while (i < n && (!space_begins[(uint8_t)p[i]] || !vlm_space_at(p + i, n - i)))
            i++;
        if (!i || i + 1 >= n || p[i] != ' ' || vlm_space_at(p + i + 1, n - i - 1))
            return i;
    }
}

bool vlm_layout_has_no_end(unsigned element)
{
    return element < VLM_ELEMENT_COUNT && has_no_end[element];
}
