import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.channels.FileLock;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.util.Properties;

/**
 * What several builds do in one local repository: LockedRepository DIR NAME ROUNDS.
 * Maven: a named lock (a file of .locks, shared for reading, exclusive for writing, removed at close), a download to a temporary
 * sibling that is moved over the final name, a tracking file that is read and rewritten under a lock. Gradle: a lock file whose bytes
 * are written while another region of it is locked.
 */
class LockedRepository {
    public static void main(String[] args) throws Exception {
        Path root = Path.of(args[0]);
        int rounds = Integer.parseInt(args[2]);
        for (int n = 0; n < rounds; n++) {
            try (FileChannel lock = namedLock(root.resolve(".locks/artifact.lock")); FileLock held = lock.lock(0, 1, false)) {
                download(root.resolve("artifact.jar"), args[1] + n);
                track(root.resolve("_remote.repositories"));
            }
            try (FileChannel lock = namedLock(root.resolve(".locks/shared.lock")); FileLock held = lock.lock(0, 1, true)) {
                if (Files.size(root.resolve("artifact.jar")) != 100_000) throw new IOException("a part of an artifact was seen");
            }
            gradle(root.resolve("journal-1.lock"));
        }
    }

    /** The other process may remove the file between our open and our lock: then the lock is on nothing, as Maven's is. Maven repeats. */
    static FileChannel namedLock(Path path) throws IOException {
        return FileChannel.open(path, StandardOpenOption.READ, StandardOpenOption.WRITE, StandardOpenOption.CREATE);
    }

    static void download(Path target, String seed) throws IOException {
        Path temporary = target.resolveSibling(target.getFileName() + "." + seed + ".tmp");
        byte[] content = new byte[100_000];
        java.util.Arrays.fill(content, (byte) seed.hashCode());
        Files.write(temporary, content);
        Files.setLastModifiedTime(temporary, java.nio.file.attribute.FileTime.fromMillis(1_700_000_000_123L));
        Files.move(temporary, target, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
    }

    static void track(Path path) throws IOException {
        try (RandomAccessFile file = new RandomAccessFile(path.toFile(), "rw"); FileLock held = file.getChannel().lock(0, Math.max(1, file.length()), false)) {
            byte[] bytes = new byte[(int) file.length()];
            file.readFully(bytes);
            Properties properties = new Properties();
            properties.load(new java.io.ByteArrayInputStream(bytes));
            properties.setProperty("count", String.valueOf(1 + Integer.parseInt(properties.getProperty("count", "0"))));
            java.io.ByteArrayOutputStream out = new java.io.ByteArrayOutputStream();
            properties.store(out, "NOTE: a tracking file");
            file.seek(0);
            file.write(out.toByteArray());
            file.setLength(out.size());
        }
    }

    static void gradle(Path path) throws IOException {
        try (RandomAccessFile file = new RandomAccessFile(path.toFile(), "rw")) {
            FileChannel channel = file.getChannel();
            try (FileLock state = channel.lock(0, 1, false)) {
                ByteBuffer counter = ByteBuffer.allocate(8);
                int got = channel.read(counter, 1);
                counter.putLong(0, 1 + (got == 8 ? counter.getLong(0) : 0)).rewind();
                channel.write(counter, 1);
                try (FileLock information = channel.lock(100, 900, false)) {
                    channel.write(ByteBuffer.wrap(("owner " + ProcessHandle.current().pid() + "\n").getBytes()), 100);
                }
            }
        }
    }
}
