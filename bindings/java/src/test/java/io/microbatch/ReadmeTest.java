package io.microbatch;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.spi.ToolProvider;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The ten lines of the README, compiled and run as they stand: as a module that requires this one, and on the class path. */
class ReadmeTest {
    private static final String AROUND =
            """
            package shop;

            import io.microbatch.Batcher;
            import java.time.Duration;
            import java.util.List;
            import java.util.concurrent.CompletableFuture;

            final class Main {
                record Order(long row) {}

                static final class Database {
                    List<Long> insertAll(List<Order> orders) {
                        return orders.stream().map(Order::row).toList();
                    }
                }

                public static void main(String[] arguments) {
                    Database database = new Database();
                    Order order = new Order(7);
            %s
                }
            }
            """;

    @Test
    void theTenLinesRun(@TempDir Path directory) throws Exception {
        String readme = Files.readString(Path.of(System.getProperty("user.dir"), "README.md"));
        String begin = "```java\n";
        int from = readme.indexOf(begin, readme.indexOf("## Ten lines")) + begin.length();
        String lines = readme.substring(from, readme.indexOf("```", from));
        assertTrue(lines.lines().count() <= 10 && lines.contains("Batcher"), lines);

        Path library = Path.of(locationOf(Batcher.class));
        Path source = Files.createDirectories(directory.resolve("source/shop")).resolve("Main.java");
        Path module = directory.resolve("source/module-info.java");
        Files.writeString(source, AROUND.formatted(lines));
        Files.writeString(module, "module shop { requires microbatch; }");
        String classes = directory.resolve("classes").toString();
        int failed =
                ToolProvider.findFirst("javac")
                        .orElseThrow()
                        .run(System.out, System.err, "-Xlint:all", "-Werror", "-p", library.toString(), "-d", classes,
                                source.toString(), module.toString());
        assertEquals(0, failed, "the compiler has said why");

        String path = library + ":" + classes;
        assertEquals("row 7\n", run("microbatch", "-p", path, "-m", "shop/shop.Main"));
        assertEquals("row 7\n", run("ALL-UNNAMED", "-cp", path, "shop.Main"));
    }

    private static URI locationOf(Class<?> one) throws Exception {
        return one.getProtectionDomain().getCodeSource().getLocation().toURI();
    }

    private static String run(String allowed, String... arguments) throws Exception {
        List<String> command = new ArrayList<>();
        command.add(Path.of(System.getProperty("java.home"), "bin/java").toString());
        if (Runtime.version().feature() >= 22) {
            command.add("--enable-native-access=" + allowed);
        }
        command.addAll(List.of(arguments));
        Process process = new ProcessBuilder(command).redirectErrorStream(true).start();
        String output = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        assertEquals(0, process.waitFor(), output);
        return output;
    }
}
