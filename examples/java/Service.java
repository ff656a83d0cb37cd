// Signs what it is sent, with a key that only this enclave is given: HMAC-SHA256.
//
//     java Service.java [PORT]
//
// It knows nothing of attestation: it reads two files. The key is /dev/amber/secret, read once. GET /token answers with
// /dev/amber/token, which is another token each time: a client sees by it whom it speaks to. POST /sign answers with the
// signature of the body.

import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.util.HexFormat;
import java.util.concurrent.Executors;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;

public final class Service {
    private static final Path AMBER = Path.of(System.getenv().getOrDefault("AMBER_DIR", "/dev/amber"));
    private static final int MAX_BODY = 64 * 1024; // bytes
    private static final int THREADS = 4;

    private final SecretKeySpec key;

    private Service(byte[] secret) {
        key = new SecretKeySpec(secret, "HmacSHA256");
    }

    public static void main(String[] arguments) throws IOException {
        int port = arguments.length > 0 ? Integer.parseInt(arguments[0]) : 8080;
        Service service = new Service(Files.readAllBytes(AMBER.resolve("secret")));
        HttpServer server = HttpServer.create(new InetSocketAddress(port), 0);
        server.setExecutor(Executors.newFixedThreadPool(THREADS));
        server.createContext("/token", exchange -> answer(exchange, "GET", service::token));
        server.createContext("/sign", exchange -> answer(exchange, "POST", service::sign));
        server.start();
        System.out.println("listening on port " + server.getAddress().getPort());
    }

    private String token(byte[] ignored) throws IOException {
        return Files.readString(AMBER.resolve("token"));
    }

    private String sign(byte[] message) throws GeneralSecurityException {
        Mac mac = Mac.getInstance("HmacSHA256");
        mac.init(key);
        return HexFormat.of().formatHex(mac.doFinal(message));
    }

    private interface Work {
        String done(byte[] body) throws IOException, GeneralSecurityException;
    }

    private static void answer(HttpExchange exchange, String method, Work work) throws IOException {
        try (exchange) {
            byte[] body = exchange.getRequestBody().readNBytes(MAX_BODY + 1);
            if (!exchange.getRequestMethod().equals(method)) {
                send(exchange, 405, "only " + method);
            } else if (body.length > MAX_BODY) {
                send(exchange, 413, "at most " + MAX_BODY + " bytes");
            } else {
                work(exchange, body, work);
            }
        }
    }

    private static void work(HttpExchange exchange, byte[] body, Work work) throws IOException {
        String done;
        try {
            done = work.done(body);
        } catch (IOException | GeneralSecurityException failed) {
            System.err.println("Service: " + failed.getMessage()); // more in /dev/amber/status
            send(exchange, 503, "not now");
            return;
        }
        send(exchange, 200, done);
    }

    private static void send(HttpExchange exchange, int status, String text) throws IOException {
        byte[] bytes = (text + "\n").getBytes(StandardCharsets.UTF_8);
        exchange.sendResponseHeaders(status, bytes.length);
        exchange.getResponseBody().write(bytes);
    }
}
