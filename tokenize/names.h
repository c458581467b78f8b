/* names.h - element and attribute numbers for code that asks for one by name:
 * VLM_ELEMENT_img, VLM_ATTRIBUTE_alt. The lists are the format on disk: append only. */
#ifndef VLM_TOKENIZE_NAMES_H
#define VLM_TOKENIZE_NAMES_H

/* clang-format off */
#define VLM_ELEMENTS(X)                                                                            \
    X(html) X(head) X(title) X(meta) X(body) X(base) X(link) X(a) X(abbr) X(acronym) X(address)    \
    X(area) X(article) X(aside) X(audio) X(b) X(bdi) X(bdo) X(big) X(blink) X(blockquote) X(br)    \
    X(button) X(canvas) X(caption) X(center) X(cite) X(code) X(col) X(colgroup) X(data)            \
    X(datalist) X(dd) X(del) X(details) X(dfn) X(dialog) X(dir) X(div) X(dl) X(dt) X(em) X(embed)  \
    X(fieldset) X(figcaption) X(figure) X(font) X(footer) X(form) X(frame) X(frameset) X(h1) X(h2) \
    X(h3) X(h4) X(h5) X(h6) X(header) X(hgroup) X(hr) X(i) X(iframe) X(img) X(input) X(ins)        \
    X(kbd) X(label) X(legend) X(li) X(listing) X(main) X(map) X(mark) X(marquee) X(menu) X(meter)  \
    X(nav) X(nobr) X(noframes) X(noscript) X(object) X(ol) X(optgroup) X(option) X(output) X(p)    \
    X(param) X(picture) X(plaintext) X(pre) X(progress) X(q) X(rb) X(rp) X(rt) X(rtc) X(ruby)      \
    X(s) X(samp) X(script) X(search) X(section) X(select) X(slot) X(small) X(source) X(span)       \
    X(strike) X(strong) X(style) X(sub) X(summary) X(sup) X(svg) X(table) X(tbody) X(td)           \
    X(template) X(textarea) X(tfoot) X(th) X(thead) X(time) X(tr) X(track) X(tt) X(u) X(ul)        \
    X(var) X(video) X(wbr) X(xmp) X(math) X(applet)

#define VLM_ATTRIBUTES(X)                                                                          \
    X(alt) X(class) X(colspan) X(content) X(datetime) X(height) X(href) X(id) X(itemprop)          \
    X(itemscope) X(itemtype) X(lang) X(name) X(property) X(role) X(rowspan) X(src) X(title)        \
    X(typeof) X(vocab) X(width)
/* clang-format on */

enum vlm_element {
#define X(name) VLM_ELEMENT_##name,
    VLM_ELEMENTS(X)
#undef X
        VLM_ELEMENT_COUNT
};

enum vlm_attribute {
#define X(name) VLM_ATTRIBUTE_##name,
    VLM_ATTRIBUTES(X)
#undef X
        VLM_ATTRIBUTE_COUNT
};

#endif
