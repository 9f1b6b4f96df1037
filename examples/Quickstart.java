import io.microbatch.Batch;
import io.microbatch.Batcher;
import io.microbatch.Kind;
import io.microbatch.MicrobatchException;
import io.microbatch.Result;
import io.microbatch.Results;
import io.microbatch.Split;
import io.microbatch.Stats;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.stream.Collectors;
import java.util.stream.LongStream;
import org.sqlite.SQLiteException;

/**
 * Micro-batching shown in two parts: values of every kind through a handler for each kind, and 20,000 flights into an SQLite
 * database, once with one transaction a row and once in batches.
 *
 * <pre>
 * mvn -q -f bindings/java/pom.xml -DskipTests package exec:exec@quickstart
 * java -cp microbatch.jar:sqlite-jdbc.jar:slf4j-api.jar examples/Quickstart.java [flights.csv [seconds]]
 * </pre>
 *
 * The seconds bound the one-transaction-a-row run (default 3). Lines that begin with "rate" are measured and differ from run
 * to run; every other line is always the same. The same program stands beside this one in C and in Rust.
 */
public final class Quickstart {
    /** Flights by their place after the header: the first three, and the first that was cancelled. */
    private static final int[] CHOSEN = {0, 1, 2, 375};

    public static void main(String[] arguments) throws Exception {
        Path csv = Path.of(arguments.length > 0 ? arguments[0] : "examples/data/flights-2013-02.csv");
        double seconds = arguments.length > 1 ? Double.parseDouble(arguments[1]) : 3;
        List<String> lines = Files.readAllLines(csv);
        List<String> flights = lines.subList(1, lines.size());
        valuesOfEveryKind(flights);
        aRealDatabase(flights, Duration.ofNanos((long) (seconds * 1e9)));
    }

    // ---- Part one: values of every kind, a handler for each kind, results back in push order ----

    private static void valuesOfEveryKind(List<String> flights) throws Exception {
        System.out.println("1. Values of every kind");
        System.out.println(
                "   int64 is doubled, float64 halved, a string reversed; the default handler, here for null, says so.");

        List<Object> cells = new ArrayList<>();
        for (int place : CHOSEN) {
            for (String cell : flights.get(place).split(",")) {
                cells.add(parse(cell));
            }
        }
        int columns = flights.get(0).split(",").length;
        System.out.println();
        System.out.println("   The " + cells.size() + " cells of four flights (the last was cancelled), in batches of up to 32:");
        System.out.println();
        List<String> results = throughHandlers(cells, 32);
        System.out.println();
        System.out.println("   pushed, and the results in push order, a flight a line:");
        for (int from = 0; from < cells.size(); from += columns) {
            System.out.println("     " + show(cells.subList(from, from + columns)));
            System.out.println("  -> " + String.join(" ", results.subList(from, from + columns)));
        }

        List<Object> list =
                List.of(1, 2.0, "hello", "world", 3, 4.0, 5, "Python", 6, 7.0, 8, "deep", "learning", 9, 10.0);
        System.out.println();
        System.out.println("   A list of " + list.size() + ", in 2 batches:");
        System.out.println();
        results = throughHandlers(list, 8);
        System.out.println();
        System.out.println("     " + show(list));
        System.out.println("  -> " + String.join(" ", results));

        System.out.println();
        System.out.println("   The same list through map, which needs no batcher, in 2 batches:");
        System.out.println();
        List<Object> mapped = Batcher.map(list, Split.batches(2), Quickstart::anyKind);
        System.out.println();
        System.out.println("  -> " + show(mapped));
    }

    /** Pushes the values one by one and returns what came back, in the order it came. */
    private static List<String> throughHandlers(List<Object> values, int maxBatchSize) throws Exception {
        List<String> shown = new ArrayList<>();
        try (var batcher =
                Batcher.<Object, Object>builder()
                        .manual() // no threads: handlers and onResult run inside flush
                        .maxBatchSize(maxBatchSize)
                        .batchHandler(Kind.INT64, Quickstart::doubled)
                        .batchHandler(Kind.FLOAT64, Quickstart::halved)
                        .handler(Kind.STRING, Quickstart::reversed)
                        .handler(Quickstart::missing)
                        .onResult(
                                results -> {
                                    System.out.println(
                                            "     batch " + results.batch() + ": " + results.size() + " results");
                                    results.forEach(result -> shown.add(show(result.value())));
                                })
                        .build()) {
            for (int tag = 0; tag < values.size(); tag++) {
                batcher.push(values.get(tag), tag);
            }
            batcher.flush(Batcher.FOREVER);
        }
        return shown;
    }

    /** A batch of one kind is a plain array, and so are its results. */
    private static void doubled(Batch<Object> batch) {
        report("int64", batch);
        batch.setInt64s(LongStream.of(batch.int64s()).map(number -> number * 2).toArray());
    }

    private static void halved(Batch<Object> batch) {
        report("float64", batch);
        batch.setFloat64s(Arrays.stream(batch.float64s()).map(number -> number / 2).toArray());
    }

    /** Any batch is a list, and can be answered by one. */
    private static List<Object> reversed(Batch<Object> batch) {
        report("string", batch);
        return batch.values().stream().map(Quickstart::answer).toList();
    }

    /** A result need not be of its value's kind. */
    private static List<Object> missing(Batch<Object> batch) {
        report("default", batch);
        return batch.values().stream().map(Quickstart::answer).toList();
    }

    /** One handler for all kinds, called on this thread for each batch in turn. */
    private static List<Object> anyKind(Batch<Object> batch) {
        System.out.println(
                "     batch " + batch.number() + ", map got " + batch.size() + ": " + show(batch.values()));
        return batch.values().stream().map(Quickstart::answer).toList();
    }

    private static Object answer(Object value) {
        if (value instanceof Long number) {
            return number * 2;
        } else if (value instanceof Double number) {
            return number / 2;
        } else if (value instanceof String text) {
            return new StringBuilder(text).reverse().toString();
        }
        return "missing";
    }

    private static void report(String handler, Batch<Object> batch) {
        System.out.printf(
                "     batch %d, %-5s %-7s got %2d: %s%n",
                batch.number(), batch.trigger(), handler, batch.size(), show(batch.values()));
    }

    /** An integer, nothing (NA in this file), or text. */
    private static Object parse(String cell) {
        if (cell.isEmpty() || cell.equals("NA")) {
            return null;
        }
        try {
            return Long.parseLong(cell);
        } catch (NumberFormatException text) {
            return cell;
        }
    }

    /** A value as people read it. */
    private static String show(Object value) {
        return value instanceof String ? "\"" + value + "\"" : String.valueOf(value);
    }

    private static String show(List<?> values) {
        return values.stream().map(Quickstart::show).collect(Collectors.joining(" "));
    }

    // ---- Part two: a database on disk, one transaction a row and then a transaction a batch ----

    private static final String SCHEMA =
            """
            CREATE TABLE flights (
                id             INTEGER PRIMARY KEY,
                year           INTEGER NOT NULL,
                month          INTEGER NOT NULL,
                day            INTEGER NOT NULL,
                dep_time       INTEGER,
                sched_dep_time INTEGER NOT NULL,
                dep_delay      INTEGER,
                arr_time       INTEGER,
                sched_arr_time INTEGER NOT NULL,
                arr_delay      INTEGER,
                carrier        TEXT NOT NULL,
                flight         INTEGER NOT NULL,
                tailnum        TEXT,
                origin         TEXT NOT NULL,
                dest           TEXT NOT NULL,
                air_time       INTEGER,
                distance       INTEGER NOT NULL CONSTRAINT distance_is_positive CHECK (distance > 0),
                hour           INTEGER NOT NULL,
                minute         INTEGER NOT NULL,
                time_hour      TEXT NOT NULL,
                UNIQUE (year, month, day, carrier, flight)
            ) STRICT""";

    private static final String INSERT =
            """
            INSERT INTO flights (year, month, day, dep_time, sched_dep_time, dep_delay, arr_time, sched_arr_time, arr_delay,
                                 carrier, flight, tailnum, origin, dest, air_time, distance, hour, minute, time_hour)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id""";

    /** A flight of no distance, which the table does not take. */
    private static final String EXTRA =
            "2013,2,7,1531,1530,1,1828,1855,-27,AA,9999,N3DGAA,JFK,JFK,152,0,15,30,2013-02-07T20:00:00Z";

    private static final int PRODUCERS = 4;

    private static void aRealDatabase(List<String> flights, Duration limit) throws Exception {
        System.out.println();
        System.out.println("2. A real database");
        System.out.println();
        Path directory = Files.createTempDirectory("microbatch-quickstart");
        try {
            long begun = System.nanoTime();
            int count = oneByOne(open(directory.resolve("one-by-one.db")), flights, limit);
            double slow = (System.nanoTime() - begun) / 1e9;

            // The extra line travels in the middle of the others.
            List<String> lines = new ArrayList<>(flights);
            lines.add(lines.size() / 2, EXTRA);
            begun = System.nanoTime();
            List<Result<Long>> answers = inBatches(open(directory.resolve("in-batches.db")), lines);
            double fast = (System.nanoTime() - begun) / 1e9;

            verify(directory.resolve("in-batches.db"), lines, answers);
            System.out.println();
            rate("one transaction a row:", count, slow);
            rate("a transaction a batch:", flights.size(), fast);
            System.out.printf(Locale.ROOT, "   rate  ratio: %.1f%n", flights.size() / fast / (count / slow));
        } finally {
            try (DirectoryStream<Path> files = Files.newDirectoryStream(directory)) {
                for (Path file : files) {
                    Files.delete(file);
                }
            }
            Files.delete(directory);
        }
    }

    private static void rate(String what, int rows, double seconds) {
        System.out.printf(
                Locale.ROOT, "   rate  %s %d rows in %.2f s, %.0f rows/s%n", what, rows, seconds, rows / seconds);
    }

    private static Connection open(Path path) throws SQLException {
        Connection database = DriverManager.getConnection("jdbc:sqlite:" + path);
        try (Statement statement = database.createStatement()) {
            statement.execute(SCHEMA);
        }
        return database;
    }

    /** Inserts one flight and returns its row id. */
    private static long insertFlight(PreparedStatement insert, String line) throws SQLException {
        String[] cells = line.split(",");
        for (int column = 0; column < cells.length; column++) {
            insert.setObject(column + 1, parse(cells[column]));
        }
        try (ResultSet row = insert.executeQuery()) {
            row.next();
            return row.getLong(1);
        }
    }

    /** Every INSERT is its own transaction. Stops at the time limit and returns how many rows it inserted. */
    private static int oneByOne(Connection database, List<String> flights, Duration limit) throws SQLException {
        Progress progress = new Progress("one transaction a row", limit.toMillis());
        long begun = System.nanoTime();
        int count = 0;
        try (database;
                PreparedStatement insert = database.prepareStatement(INSERT)) {
            for (String flight : flights) {
                insertFlight(insert, flight);
                count++;
                long passed = System.nanoTime() - begun;
                progress.set(passed / 1_000_000);
                if (passed >= limit.toNanos()) {
                    break;
                }
            }
        }
        progress.finish();
        return count;
    }

    /** Pushes every line from four threads; the handler inserts a batch in one transaction. Returns the answers by tag. */
    private static List<Result<Long>> inBatches(Connection database, List<String> lines) throws Exception {
        List<Result<Long>> answers = new ArrayList<>(java.util.Collections.nCopies(lines.size(), null));
        Progress progress = new Progress("a transaction a batch", lines.size());
        database.setAutoCommit(false);
        try (database;
                PreparedStatement insert = database.prepareStatement(INSERT);
                var batcher =
                        Batcher.<String, Long>builder()
                                .maxBatchSize(512)
                                .maxDelay(Duration.ofMillis(2))
                                .batchHandler(batch -> insertBatch(database, insert, batch))
                                .onResult(results -> store(results, answers, progress))
                                .build()) {
            List<Thread> producers = new ArrayList<>();
            int share = (lines.size() + PRODUCERS - 1) / PRODUCERS;
            for (int from = 0; from < lines.size(); from += share) {
                int first = from;
                int end = Math.min(from + share, lines.size());
                producers.add(
                        new Thread(
                                () -> {
                                    for (int tag = first; tag < end; tag++) {
                                        batcher.push(lines.get(tag), tag); // the place of the line
                                    }
                                }));
            }
            producers.forEach(Thread::start);
            for (Thread producer : producers) {
                producer.join();
            }
            batcher.flush(Batcher.FOREVER);
            progress.finish();
            Stats stats = batcher.stats();
            System.out.println("   " + stats.accepted() + " lines pushed one by one from " + PRODUCERS + " threads");
            System.out.println("   " + stats.ok() + " rows inserted, each answered with its row id");
            System.out.println("   " + stats.failed() + " row failed, alone");
        }
        if (answers.contains(null)) {
            throw new IllegalStateException("a line has no result");
        }
        return answers;
    }

    /** Runs on one thread at a time. */
    private static void store(Results<Long> results, List<Result<Long>> answers, Progress progress) {
        for (Result<Long> result : results) {
            if (answers.set((int) result.tag(), result) != null) {
                throw new IllegalStateException("line " + result.tag() + " has two results");
            }
        }
        progress.add(results.size());
    }

    /** The handler: a batch is one transaction. What it throws fails the whole batch. */
    private static void insertBatch(Connection database, PreparedStatement insert, Batch<String> batch)
            throws SQLException {
        try {
            for (int row = 0; row < batch.size(); row++) {
                try {
                    batch.set(row, insertFlight(insert, batch.value(row)));
                } catch (SQLiteException refused) {
                    // "[SQLITE_CONSTRAINT_CHECK] A CHECK constraint failed (CHECK constraint failed: ...)"
                    String message = refused.getMessage().replaceFirst("^\\[.*?\\] .*? \\((.*)\\)$", "$1");
                    batch.fail(row, refused.getResultCode().code, message);
                }
            }
            database.commit();
        } catch (SQLException | RuntimeException failure) {
            database.rollback();
            throw failure;
        }
    }

    /** Reads the table back: under each row id stands the line that was answered with it, and nothing else is there. */
    private static void verify(Path path, List<String> lines, List<Result<Long>> answers) throws SQLException {
        Map<Long, String> lineOf = new HashMap<>();
        for (int tag = 0; tag < lines.size(); tag++) {
            MicrobatchException error = answers.get(tag).error();
            if (error != null) {
                System.out.println(
                        "   its outcome: "
                                + answers.get(tag).outcome()
                                + ", code "
                                + error.code()
                                + ", \""
                                + error.getMessage()
                                + "\"");
            } else if (lineOf.put(answers.get(tag).value(), lines.get(tag)) != null) {
                throw new IllegalStateException("row id " + answers.get(tag).value() + " came twice");
            }
        }
        int count = 0;
        try (Connection database = DriverManager.getConnection("jdbc:sqlite:" + path);
                Statement select = database.createStatement();
                ResultSet row = select.executeQuery("SELECT * FROM flights")) {
            while (row.next()) {
                List<String> cells = new ArrayList<>();
                for (int column = 2; column <= 20; column++) {
                    String cell = row.getString(column);
                    cells.add(cell == null ? "NA" : cell);
                }
                if (!String.join(",", cells).equals(lineOf.remove(row.getLong(1)))) {
                    throw new IllegalStateException("row " + row.getLong(1) + " is not the line that was answered with it");
                }
                count++;
            }
        }
        if (!lineOf.isEmpty()) {
            throw new IllegalStateException(lineOf.size() + " rows are missing");
        }
        System.out.println("   " + count + " rows read back, each line there exactly once");
    }

    /** How far a long piece of work has come: a bar on a terminal, plain lines otherwise; both go to standard error. */
    private static final class Progress {
        private static final int WIDTH = 40;

        private final boolean bar = System.console() != null;
        private final String label;
        private final long total;
        private long done;
        private long shown = -1;

        Progress(String label, long total) {
            this.label = label;
            this.total = Math.max(total, 1);
        }

        synchronized void set(long value) {
            long before = done;
            done = Math.min(value, total);
            if (bar && done * WIDTH / total != shown) {
                shown = done * WIDTH / total;
                System.err.print(
                        "\r   " + label + " [" + "#".repeat((int) shown) + "-".repeat((int) (WIDTH - shown)) + "] "
                                + 100 * done / total + " %");
            } else if (!bar && done * 4 / total > before * 4 / total) {
                System.err.println("   " + label + ": " + done * 4 / total * 25 + " %");
            }
        }

        synchronized void add(long more) {
            set(done + more);
        }

        synchronized void finish() {
            set(total);
            if (bar) {
                System.err.print("\r" + " ".repeat(80) + "\r");
            }
        }
    }
}
