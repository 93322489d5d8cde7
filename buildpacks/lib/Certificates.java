import java.io.FileInputStream;
import java.io.FileOutputStream;
import java.security.KeyStore;
import java.security.cert.CertificateFactory;

/** Makes Java's own kind of file of a file of certificates: java Certificates.java FROM.crt TO. */
public class Certificates {
    public static void main(String[] arguments) throws Exception {
        // This kind does not encrypt what is public: Java opens its own store without a password.
        KeyStore store = KeyStore.getInstance("JKS");
        store.load(null, null);
        int number = 0;
        try (var from = new FileInputStream(arguments[0]); var to = new FileOutputStream(arguments[1])) {
            for (var certificate : CertificateFactory.getInstance("X.509").generateCertificates(from)) {
                store.setCertificateEntry("authority-" + number++, certificate);
            }
            store.store(to, "changeit".toCharArray());
        }
    }
}
