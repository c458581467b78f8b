/* web_page.c - serve/page/web_page.html inside of the program. */
#include "base/vlm.h"

#include "base/include_file.h"
#include "serve/page/web_page.h"

VLM_INCLUDE_FILE(vlm_web_page_file, "serve/page/web_page.html");

struct vlm_web_page vlm_web_page(void)
{
    return (struct vlm_web_page){ vlm_web_page_file, VLM_INCLUDED_SIZE(vlm_web_page_file) };
}
