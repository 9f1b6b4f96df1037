package io.microbatch;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.File;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The quickstart prints what it prints in every language. */
class QuickstartTest {
    private static final Pattern NUMBER = Pattern.compile("[0-9][0-9.]*");

    @Test
    void theQuickstartPrintsWhatIsExpected(@TempDir Path scratch) throws Exception {
        Path examples = Path.of(System.getProperty("user.dir"), "../../examples").normalize();
        Path temporary = Files.createDirectory(scratch.resolve("tmp"));
        List<String> command = new ArrayList<>();
        command.add(Path.of(System.getProperty("java.home"), "bin/java").toString());
        if (Runtime.version().feature() >= 22) {
            command.add("--enable-native-access=ALL-UNNAMED");
        }
        // sqlite-jdbc leaves its own library where this says
        command.add("-Dorg.sqlite.tmpdir=" + scratch);
        command.add("-Djava.io.tmpdir=" + temporary);
        command.addAll(List.of("-cp", System.getProperty("java.class.path")));
        command.add(examples.resolve("Quickstart.java").toString());
        command.addAll(List.of(examples.resolve("data/flights-2013-02.csv").toString(), "0.2"));
        File out = scratch.resolve("out").toFile();
        File err = scratch.resolve("err").toFile();
        Process process = new ProcessBuilder(command).redirectOutput(out).redirectError(err).start();
        int code = process.waitFor();
        String told = Files.readString(err.toPath());
        assertEquals(0, code, told);
        StringBuilder printed = new StringBuilder();
        for (String line : Files.readAllLines(out.toPath())) {
            boolean rate = line.stripLeading().startsWith("rate");
            printed.append(rate ? NUMBER.matcher(line).replaceAll("#") : line).append('\n');
        }
        assertEquals(Files.readString(examples.resolve("quickstart.expected")), printed.toString());
        assertTrue(told.contains("a transaction a batch: 100 %\n"), told);
        try (Stream<Path> left = Files.list(temporary)) {
            assertEquals(List.of(), left.toList());
        }
    }
}
