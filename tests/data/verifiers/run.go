// Answers each case on standard input with the how-to page's Go verifier.
package main

import (
	"encoding/base64"
	"fmt"
	"io"
	"os"
	"strings"

	"verifier/webhook"
)

func main() {
	cases, err := io.ReadAll(os.Stdin)
	if err != nil {
		panic(err)
	}
	lines := strings.Split(string(cases), "\n")
	for _, line := range lines[:len(lines)-1] {
		if verify(strings.Split(line, "\x1f")) {
			fmt.Println("valid")
		} else {
			fmt.Println("invalid")
		}
	}
}

func verify(f []string) bool {
	format, secret, signature, nextSignature, id, timestamp := f[0], f[1], f[3], f[4], f[5], f[6]
	rawBody, err := base64.StdEncoding.DecodeString(f[2])
	if err != nil {
		panic(err)
	}
	switch format {
	case "scriptrun":
		return webhook.VerifyScriptRun(rawBody, signature, secret)
	case "autorx":
		return webhook.VerifyAutoRx(rawBody, signature, nextSignature, secret)
	default:
		return webhook.VerifyStandard(rawBody, id, timestamp, signature, secret)
	}
}
