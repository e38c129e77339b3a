// java Hello.java PORT NAME [PROTOCOLS] [tls12] [twice]: connects with JSSE, and once more with the session it was given.
import java.security.cert.X509Certificate;
import java.util.List;
import javax.net.ssl.SNIHostName;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLParameters;
import javax.net.ssl.SSLSocket;
import javax.net.ssl.TrustManager;
import javax.net.ssl.X509TrustManager;

public class Hello {
  public static void main(String[] args) throws Exception {
    SSLContext context = SSLContext.getInstance("TLS");
    context.init(null, new TrustManager[] {new Anybody()}, null);
    List<String> words = List.of(args);
    for (int visits = words.contains("twice") ? 2 : 1; visits > 0; visits--) {
      try (SSLSocket socket =
          (SSLSocket) context.getSocketFactory().createSocket("127.0.0.1", Integer.parseInt(args[0]))) {
        SSLParameters parameters = socket.getSSLParameters();
        if (!args[1].isEmpty()) parameters.setServerNames(List.of(new SNIHostName(args[1])));
        if (args.length > 2 && !args[2].isEmpty()) parameters.setApplicationProtocols(args[2].split(","));
        if (words.contains("tls12")) parameters.setProtocols(new String[] {"TLSv1.2"});
        socket.setSSLParameters(parameters);
        socket.getOutputStream().write("GET / HTTP/1.1\r\nHost: corpus\r\n\r\n".getBytes());
        socket.getInputStream().readAllBytes();
      } catch (java.io.IOException expected) {
        // The server knows no such protocol, perhaps; the hello is out.
      }
    }
  }

  private static final class Anybody implements X509TrustManager {
    public void checkClientTrusted(X509Certificate[] chain, String type) {}
    public void checkServerTrusted(X509Certificate[] chain, String type) {}
    public X509Certificate[] getAcceptedIssuers() { return new X509Certificate[0]; }
  }
}
