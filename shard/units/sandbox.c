/* sandbox.c - seccomp allow-list and resource limits of a worker process.
 *
 * Everything not listed kills the process (the parent sees a crash and blames the item). In sanitizer
 * builds only the harmless limits are set: their runtime needs far more calls. */
#include "base/vlm.h"

#include "shard/units/sandbox.h"

#include <seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { SANITIZED = 1 };
#else
enum { SANITIZED = 0 };
#endif

static const int allowed[] = {
    SCMP_SYS(read),           SCMP_SYS(pread64),   SCMP_SYS(readv),         SCMP_SYS(write),
    SCMP_SYS(pwrite64),       SCMP_SYS(writev),    SCMP_SYS(lseek),         SCMP_SYS(fstat),
    SCMP_SYS(munmap),         SCMP_SYS(mremap),    SCMP_SYS(madvise),       SCMP_SYS(brk),
    SCMP_SYS(futex),          SCMP_SYS(exit),      SCMP_SYS(exit_group),    SCMP_SYS(rt_sigreturn),
    SCMP_SYS(rt_sigprocmask), SCMP_SYS(getrandom), SCMP_SYS(clock_gettime), SCMP_SYS(sysinfo),
    SCMP_SYS(gettid),         SCMP_SYS(getpid),    SCMP_SYS(tgkill),        SCMP_SYS(sched_yield),
    SCMP_SYS(newfstatat), /* fstat of glibc 2.33 and later; it opens nothing */
    SCMP_SYS(close),
};

static int install_filter(void)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
    if (!filter)
        return -ENOMEM;
    /* Libraries may have started threads of their own: they are confined, too. */
    int rc = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1);
    for (size_t i = 0; i < VLM_COUNTOF(allowed) && rc == 0; i++)
        rc = seccomp_rule_add(filter, SCMP_ACT_ALLOW, allowed[i], 0);
    /* Memory may be mapped, but never as code. */
    if (rc == 0)
        rc = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1,
                              SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
    if (rc == 0)
        rc = seccomp_load(filter);
    seccomp_release(filter);
    return rc;
}

static void limit(int resource, uint64_t value)
{
    struct rlimit both;
    if (getrlimit((__rlimit_resource_t)resource, &both) < 0)
        return;
    both.rlim_cur = both.rlim_max = VLM_MIN((rlim_t)value, both.rlim_max);
    /* Lowering a limit cannot fail. */
    (void)!setrlimit((__rlimit_resource_t)resource, &both);
}

int vlm_sandbox_enter(uint64_t address_space, struct vlm_err *err)
{
    limit(RLIMIT_CORE, 0);
    if (SANITIZED)
        return VLM_OK;
    limit(RLIMIT_AS, address_space);
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return vlm_fail(err, VLM_SKIP, "workers are not confined: %s", strerror(errno));
    int rc = install_filter();
    if (rc < 0)
        return vlm_fail(err, VLM_SKIP, "workers are not confined: seccomp: %s", strerror(-rc));
    return VLM_OK;
}
