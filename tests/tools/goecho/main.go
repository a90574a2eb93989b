// SPDX-License-Identifier: Apache-2.0

// goecho is an ordinary Go program, statically linked: what is preloaded does not reach it, GODEBUG does.
//
//	goecho listen ADDRESS:PORT            sends back what comes, until it is ended
//	goecho dial ADDRESS:PORT MEBIBYTES    sends so much, reads it back, compares
package main

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
)

func fatal(err error) {
	fmt.Fprintln(os.Stderr, "goecho:", err)
	os.Exit(1)
}

func isMPTCP(c net.Conn) bool {
	used, err := c.(*net.TCPConn).MultipathTCP()
	return err == nil && used
}

func listen(address string) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		fatal(err)
	}
	for {
		c, err := l.Accept()
		if err != nil {
			fatal(err)
		}
		go func() {
			n, err := io.Copy(c, c)
			fmt.Println("served", n, "bytes, MPTCP", isMPTCP(c), err)
			c.Close()
		}()
	}
}

func dial(address string, mebibytes int) {
	c, err := net.Dial("tcp", address)
	if err != nil {
		fatal(err)
	}
	data := make([]byte, mebibytes<<20)
	rand.Read(data)
	sent := make(chan error, 1)
	go func() {
		_, err := c.Write(data)
		if err == nil {
			err = c.(*net.TCPConn).CloseWrite()
		}
		sent <- err
	}()
	got, err := io.ReadAll(c)
	if err == nil {
		err = <-sent
	}
	if err != nil {
		fatal(err)
	}
	if !bytes.Equal(got, data) {
		fatal(fmt.Errorf("%d bytes came back, and not those that were sent", len(got)))
	}
	fmt.Println("got", len(got), "bytes back, MPTCP", isMPTCP(c))
}

func main() {
	switch {
	case len(os.Args) == 3 && os.Args[1] == "listen":
		listen(os.Args[2])
	case len(os.Args) == 4 && os.Args[1] == "dial":
		n, err := strconv.Atoi(os.Args[3])
		if err != nil {
			fatal(err)
		}
		dial(os.Args[2], n)
	default:
		fatal(fmt.Errorf("listen ADDRESS:PORT, or dial ADDRESS:PORT MEBIBYTES"))
	}
}
