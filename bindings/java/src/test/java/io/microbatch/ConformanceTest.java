package io.microbatch;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;

/** The conformance vectors: one scenario, one trace, in every language. */
class ConformanceTest {
    @Test
    void javaGivesTheExpectedTraces() throws IOException {
        Path directory = Path.of(System.getProperty("user.dir"), "../../tests/conformance");
        List<Path> scenarios;
        try (Stream<Path> files = Files.list(directory)) {
            scenarios = files.filter(file -> file.toString().endsWith(".mbt")).sorted().toList();
        }
        List<String> differing = new ArrayList<>();
        int played = 0;
        for (Path file : scenarios) {
            String scenario = Files.readString(file);
            boolean lacks =
                    scenario.lines()
                            .filter(line -> line.startsWith("needs "))
                            .anyMatch(line -> ConformanceRunner.LACKS.contains(line.substring(6)));
            if (lacks) {
                continue;
            }
            played++;
            String expected = Files.readString(Path.of(file.toString().replace(".mbt", ".trace")));
            String trace;
            try {
                trace = ConformanceRunner.play(scenario);
            } catch (RuntimeException | AssertionError failure) {
                java.io.StringWriter stack = new java.io.StringWriter();
                failure.printStackTrace(new java.io.PrintWriter(stack));
                trace = "(" + stack + ")";
            }
            if (!trace.equals(expected)) {
                differing.add(file.getFileName() + ": " + firstDifference(expected, trace));
            }
        }
        System.out.println(played + " of " + scenarios.size() + " scenarios played");
        assertTrue(played > 275, "only " + played + " scenarios were played");
        assertEquals(List.of(), differing);
    }

    private static String firstDifference(String expected, String trace) {
        List<String> ours = trace.lines().toList();
        List<String> theirs = expected.lines().toList();
        for (int at = 0; at < Math.max(ours.size(), theirs.size()); at++) {
            String our = at < ours.size() ? ours.get(at) : "(end)";
            String their = at < theirs.size() ? theirs.get(at) : "(end)";
            if (!our.equals(their)) {
                return "line " + (at + 1) + ": expected `" + their + "`, got `" + our + "`";
            }
        }
        return "ends differ";
    }
}
