/* events.c - the event list as JSON, for looking at documents. */
#include "base/vlm.h"

#include "tokenize/render/render.h"

static const char *const kind_names[VLM_EVENT_KINDS] = {
    [VLM_EVENT_TEXT] = "text",           [VLM_EVENT_OPEN] = "open",   [VLM_EVENT_CLOSE] = "close",
    [VLM_EVENT_ATTRIBUTE] = "attribute", [VLM_EVENT_IMAGE] = "image",
};

static const char *const flag_names[] = {
    "hidden", "chrome", "small", "unwrap", "duplicate", "outside", "caption",
};

const char *vlm_event_kind_name(unsigned kind)
{
    return kind < VLM_EVENT_KINDS ? kind_names[kind] : NULL;
}

static void write_flags(struct vlm_json *json, unsigned flags)
{
    if (!flags)
        return;
    vlm_json_key(json, "flags");
    vlm_json_open(json, '[');
    for (size_t i = 0; i < VLM_COUNTOF(flag_names); i++)
        if (flags >> i & 1)
            vlm_json_string(json, flag_names[i]);
    vlm_json_close(json, ']');
}

static void write_event(struct vlm_json *json, const struct vlm_document *document,
                        const struct vlm_event *event)
{
    vlm_json_open(json, '{');
    vlm_json_member_string(json, "kind", vlm_event_kind_name(event->kind));
    if (event->kind == VLM_EVENT_OPEN || event->kind == VLM_EVENT_CLOSE)
        vlm_json_member_string(json, "name", vlm_element_name(event->name));
    else if (event->kind == VLM_EVENT_ATTRIBUTE)
        vlm_json_member_string(json, "name", vlm_attribute_name(event->name));
    else if (event->kind == VLM_EVENT_IMAGE)
        vlm_json_member_number(json, "image", event->start);
    if (event->kind == VLM_EVENT_TEXT || event->kind == VLM_EVENT_ATTRIBUTE) {
        vlm_json_key(json, "text");
        vlm_json_text(json, document->text + event->start, event->length);
    }
    vlm_json_member_number(json, "offset", event->offset);
    write_flags(json, event->flags);
    vlm_json_close(json, '}');
}

void vlm_render_events(struct vlm_json *json, const struct vlm_document *document)
{
    vlm_json_open(json, '[');
    for (size_t i = 0; i < document->n_events; i++)
        write_event(json, document, &document->events[i]);
    vlm_json_close(json, ']');
}
