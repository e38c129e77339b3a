// go run hello.go PORT NAME [PROTOCOLS] [tls12] [twice]: connects with crypto/tls, and once more with the session it was given.
package main

import (
	"crypto/tls"
	"io"
	"os"
	"strings"
)

func main() {
	config := &tls.Config{
		InsecureSkipVerify: true,
		ServerName:         os.Args[2],
		ClientSessionCache: tls.NewLRUClientSessionCache(1),
	}
	visits := 1
	for i, word := range os.Args[3:] {
		switch {
		case word == "tls12":
			config.MaxVersion = tls.VersionTLS12
		case word == "twice":
			visits = 2
		case i == 0 && word != "":
			config.NextProtos = strings.Split(word, ",")
		}
	}
	for ; visits > 0; visits-- {
		conn, err := tls.Dial("tcp", "127.0.0.1:"+os.Args[1], config)
		if err != nil {
			continue
		}
		io.WriteString(conn, "GET / HTTP/1.1\r\nHost: corpus\r\n\r\n")
		io.ReadAll(conn)
		conn.Close()
	}
}
