/* bare_sax.c - the whole page through libxml2's SAX interface, nothing done with the calls. */
#include "base/vlm.h"

#include "tokenize/html/bare_sax.h"

#include <libxml/HTMLparser.h>
#include <libxml/parserInternals.h>

static void start_element(void *context, const xmlChar *name, const xmlChar **attributes)
{
    size_t *tags = context;
    (void)name;
    (void)attributes;
    ++*tags;
}

static void end_element(void *context, const xmlChar *name)
{
    (void)context;
    (void)name;
}

static void characters(void *context, const xmlChar *text, int length)
{
    (void)context;
    (void)text;
    (void)length;
}

size_t vlm_bare_sax(const char *page, size_t n)
{
    size_t tags = 0;
    if (!n || n > INT_MAX)
        return 0;
    htmlParserCtxtPtr parser = htmlCreateMemoryParserCtxt(page, (int)n);
    if (!parser)
        return 0;
    htmlCtxtUseOptions(parser, HTML_PARSE_RECOVER | HTML_PARSE_NOERROR | HTML_PARSE_NOWARNING |
                                   HTML_PARSE_NONET | HTML_PARSE_IGNORE_ENC);
    *parser->sax = (xmlSAXHandler){
        .startElement = start_element,
        .endElement = end_element,
        .characters = characters,
        .cdataBlock = characters,
        .ignorableWhitespace = characters,
    };
    parser->userData = &tags;
    /* Without this it falls back to Latin-1, which is slower. */
    if (xmlSwitchEncoding(parser, XML_CHAR_ENCODING_UTF8) < 0) {
        htmlFreeParserCtxt(parser);
        return 0;
    }
    htmlParseDocument(parser);
    htmlFreeParserCtxt(parser);
    return tags;
}
