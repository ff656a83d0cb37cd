// What programs do with the files: the API key is written, the token read twice, then the secret and the status.
package main

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// why is what the kernel said.
func why(err error) string {
	var number syscall.Errno
	if errors.As(err, &number) {
		return number.Error()
	}
	return err.Error()
}

func put(key string) string {
	file, err := os.OpenFile("/dev/amber/endpoint_apikey", os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		return why(err)
	}
	if _, err = file.WriteString(key); err != nil {
		return why(err)
	}
	if err = file.Close(); err != nil {
		return why(err)
	}
	return "written"
}

func show(name string) {
	content, err := os.ReadFile("/dev/amber/" + name)
	if err != nil {
		fmt.Printf("%s failed: %s\n", name, why(err))
		return
	}
	fmt.Printf("%s: %s\n", name, content)
}

func main() {
	if len(os.Args) > 1 {
		fmt.Println("key", put(os.Args[1]))
	}
	for _, name := range []string{"token", "token", "secret", "status"} {
		show(name)
	}
}
