// Runs the tests under a watchdog: a hang is a failure, and nothing else depends on time.
#include <gtest/gtest.h>

#include <csignal>
#include <unistd.h>

int main(int argc, char** argv) {
    testing::InitGoogleTest(&argc, argv);
    // Killed rather than ended: the leak sanitizer would wait for a look that does not come back.
    std::signal(SIGALRM, [](int) {
        static const char text[] = "watchdog: the program hangs\n";
        if (write(STDERR_FILENO, text, sizeof text - 1) > 0) kill(getpid(), SIGKILL);
        _exit(1);
    });
    alarm(150);
    return RUN_ALL_TESTS();
}
