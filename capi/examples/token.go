// One request from Go, with Go's own HTTP library and the token of keyfob:
//
//	CGO_CFLAGS=$(pkg-config --cflags keyfob) CGO_LDFLAGS=$(pkg-config --libs keyfob) go run token.go SERVICE PATH
//
// The service is built in, or described by config.toml. PATH is appended to the URL of its API.
package main

// #include <keyfob.h>
// #include <stdlib.h>
import "C"

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"unsafe"
)

// Client is a keyfob_client. Any number of goroutines may use it.
type Client struct{ handle *C.keyfob_client }

// NewClient makes a client for a service, to be closed with Close.
func NewClient(service string) (*Client, error) {
	name := C.CString(service)
	defer C.free(unsafe.Pointer(name))
	client := &Client{}
	var failure C.keyfob_error
	if status := C.keyfob_client_from_config(name, C.size_t(len(service)), nil, &client.handle, &failure); status != 0 {
		return nil, asError(status, &failure)
	}
	return client, nil
}

// Close frees the client.
func (client *Client) Close() { C.keyfob_client_free(client.handle) }

// Authorization returns the value of an Authorization header. Call it before each request.
func (client *Client) Authorization() (string, error) {
	return text(func(buf *C.char, cap C.size_t, length *C.size_t, failure *C.keyfob_error) C.keyfob_status {
		return C.keyfob_authorization(client.handle, 60, buf, cap, length, failure)
	})
}

// APIURL returns the base URL of the API.
func (client *Client) APIURL() (string, error) {
	return text(func(buf *C.char, cap C.size_t, length *C.size_t, failure *C.keyfob_error) C.keyfob_status {
		return C.keyfob_api_url(client.handle, buf, cap, length, failure)
	})
}

// text calls a function that writes a text, with a larger buffer until the text fits.
func text(write func(*C.char, C.size_t, *C.size_t, *C.keyfob_error) C.keyfob_status) (string, error) {
	size := C.size_t(4096)
	for {
		buf := make([]byte, size)
		var length C.size_t
		var failure C.keyfob_error
		switch status := write((*C.char)(unsafe.Pointer(&buf[0])), size, &length, &failure); status {
		case C.KEYFOB_OK:
			value := string(buf[:length])
			for i := range buf {
				buf[i] = 0
			}
			return value, nil
		case C.KEYFOB_BUFFER_TOO_SMALL:
			size = length
		default:
			return "", asError(status, &failure)
		}
	}
}

func asError(status C.keyfob_status, failure *C.keyfob_error) error {
	return errors.New(C.GoString(C.keyfob_status_name(C.int(status))) + ": " + C.GoString(&failure.message[0]))
}

func get(service, path string) error {
	client, err := NewClient(service)
	if err != nil {
		return err
	}
	defer client.Close()
	url, err := client.APIURL()
	if err != nil {
		return err
	}
	authorization, err := client.Authorization()
	if err != nil {
		return err
	}
	request, err := http.NewRequest("GET", url+path, nil)
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", authorization)
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return errors.New("the API answered " + answer.Status)
	}
	_, err = io.Copy(os.Stdout, answer.Body)
	return err
}

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintf(os.Stderr, "usage: %s SERVICE PATH\n", os.Args[0])
		os.Exit(2)
	}
	if err := get(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
