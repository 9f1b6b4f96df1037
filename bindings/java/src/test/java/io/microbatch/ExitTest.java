package io.microbatch;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import org.junit.jupiter.api.Test;

/** Virtual machines that exit with values under way: each test runs one of its own. */
class ExitTest {
    record Exit(int code, String out, String err) {}

    private static Exit run(String scene) throws Exception {
        return run(Scenes.class, List.of(), scene);
    }

    /** Runs the main method of a class in a virtual machine of its own. */
    static Exit run(Class<?> body, List<String> flags, String argument) throws Exception {
        List<String> command = new ArrayList<>();
        command.add(Path.of(System.getProperty("java.home"), "bin/java").toString());
        command.add("-Xcheck:jni");
        if (Runtime.version().feature() >= 22) {
            command.add("--enable-native-access=ALL-UNNAMED");
        }
        command.addAll(flags);
        command.addAll(List.of("-cp", System.getProperty("java.class.path"), body.getName(), argument));
        Process process = new ProcessBuilder(command).start();
        StringBuilder err = new StringBuilder();
        Thread reader = new Thread(() -> {
            try {
                err.append(new String(process.getErrorStream().readAllBytes(), StandardCharsets.UTF_8));
            } catch (java.io.IOException gone) {
                err.append(gone);
            }
        });
        reader.start();
        String out = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        reader.join();
        return new Exit(process.waitFor(), out, err.toString());
    }

    /** What runs in the other virtual machine. */
    static final class Scenes {
        private Scenes() {}

        public static void main(String[] arguments) throws Exception {
            var builder = Batcher.<Object, Object>builder().maxBatchSize(10).maxDelay(Duration.ofSeconds(1000))
                    .onResult(results -> System.out.println("delivered " + results.size()));
            switch (arguments[0]) {
                case "main returns" -> push(builder.handler(Batch::values).build(), 25);
                case "system exit" -> {
                    push(builder.handler(Batch::values).build(), 25);
                    System.exit(7);
                }
                case "exit in a handler" -> {
                    push(builder.drainAtExit(Duration.ofMillis(200)).handler(batch -> {
                        System.exit(8);
                        return batch.values();
                    }).build(), 10);
                    new CountDownLatch(1).await();
                }
                case "exit in onResult" -> {
                    push(builder.drainAtExit(Duration.ofMillis(200)).onResult(results -> System.exit(9))
                            .handler(Batch::values).build(), 10);
                    new CountDownLatch(1).await();
                }
                case "exit in a manual handler" -> {
                    var batcher = builder.manual().drainAtExit(Duration.ofMillis(200)).handler(batch -> {
                        System.exit(10);
                        return batch.values();
                    }).build();
                    push(batcher, 10);
                    batcher.run();
                }
                case "a broken onResult" -> {
                    var batcher = builder.handler(Batch::values).onResult(results -> {
                        throw new IllegalStateException("onResult broke");
                    }).build();
                    push(batcher, 10);
                    batcher.flush(Kit.LONG);
                }
                case "a hung handler" -> push(builder.drainAtExit(Duration.ofMillis(100)).handler(batch -> {
                    new CountDownLatch(1).await();
                    return batch.values();
                }).build(), 15);
                case "no drain" -> push(builder.drainAtExit(Duration.ZERO).handler(Batch::values).build(), 5);
                case "halt" -> {
                    push(builder.handler(Batch::values).build(), 5);
                    Runtime.getRuntime().halt(11);
                }
                case "pushers" -> {
                    var batcher = builder.handler(Batch::values).build();
                    for (int at = 0; at < 3; at++) {
                        Thread pusher = new Thread(() -> {
                            for (; ; ) {
                                try {
                                    batcher.push("x", 1);
                                } catch (MicrobatchException closed) {
                                    return;
                                }
                            }
                        });
                        pusher.setDaemon(true);
                        pusher.start();
                    }
                    Thread.sleep(20);
                    System.exit(12);
                }
                default -> throw new AssertionError(arguments[0]);
            }
        }

        private static void push(Batcher<Object, Object> batcher, int count) {
            for (int at = 0; at < count; at++) {
                batcher.push((long) at, at);
            }
        }
    }

    /** Without a log of one's own, lines go to the logger of the platform, which prints them. */
    @Test
    void p39_theLoggerOfThePlatformIsTheDefault() throws Exception {
        Exit exit = run("a broken onResult");
        assertEquals(0, exit.code, exit.err);
        assertEquals(1, exit.err.split("onResult broke", -1).length - 1, exit.err);
        assertTrue(exit.err.contains("results could not be delivered, or onResult failed"), exit.err);
    }

    @Test
    void p32_whatWaitsIsDrainedWhenMainReturns() throws Exception {
        Exit exit = run("main returns");
        assertEquals(0, exit.code);
        assertEquals("delivered 10\ndelivered 10\ndelivered 5\n", exit.out);
        assertEquals("", exit.err);
    }

    @Test
    void p32_whatWaitsIsDrainedBySystemExit() throws Exception {
        Exit exit = run("system exit");
        assertEquals(7, exit.code);
        assertEquals("delivered 10\ndelivered 10\ndelivered 5\n", exit.out);
        assertEquals("", exit.err);
    }

    @Test
    void systemExitInAHandler() throws Exception {
        Exit exit = run("exit in a handler");
        assertEquals(8, exit.code);
        assertTrue(exit.err.contains("10 values were discarded at exit"), exit.err);
    }

    @Test
    void systemExitInOnResult() throws Exception {
        Exit exit = run("exit in onResult");
        assertEquals(9, exit.code);
    }

    @Test
    void systemExitInAManualHandler() throws Exception {
        Exit exit = run("exit in a manual handler");
        assertEquals(10, exit.code);
        assertTrue(exit.err.contains("10 values were discarded at exit"), exit.err);
    }

    @Test
    void p32_aHungHandlerIsReported() throws Exception {
        Exit exit = run("a hung handler");
        assertEquals(0, exit.code);
        assertTrue(exit.err.contains("15 values were discarded at exit"), exit.err);
        // those discarded have their results still
        assertTrue(exit.out.contains("delivered"), exit.out);
    }

    @Test
    void withoutDrainNothingHappens() throws Exception {
        Exit exit = run("no drain");
        assertEquals(new Exit(0, "", ""), exit);
        assertEquals(new Exit(11, "", ""), run("halt"));
    }

    @Test
    void exitWithThreadsThatPush() throws Exception {
        for (int round = 0; round < 3; round++) {
            Exit exit = run("pushers");
            assertEquals(12, exit.code);
            assertEquals("", exit.err);
        }
    }
}
