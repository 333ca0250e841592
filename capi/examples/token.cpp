// One request from C++11, with handles that free themselves: c++ token.cpp $(pkg-config --cflags --libs keyfob)
//
// Usage: token SERVICE PATH
//
// The service is built in, or described by config.toml. PATH is appended to the URL of its API.

#include <keyfob.h>

#include <iostream>
#include <memory>
#include <stdexcept>
#include <string>

class Client {
public:
    explicit Client(const std::string &service) {
        keyfob_client *client = nullptr;
        keyfob_error error;
        check(keyfob_client_from_config(service.data(), service.size(), nullptr, &client, &error), error);
        handle.reset(client);
    }

    std::string get(const std::string &path) const {
        std::string body;
        keyfob_error error;
        check(keyfob_request(handle.get(), "GET", 3, path.data(), path.size(), nullptr, 0, nullptr, 0, append, &body, nullptr, &error), error);
        return body;
    }

private:
    // No exception may pass through C.
    static int append(const char *data, size_t len, void *body) noexcept {
        try {
            static_cast<std::string *>(body)->append(data, len);
            return 0;
        } catch (...) {
            return 1;
        }
    }

    static void check(keyfob_status status, const keyfob_error &error) {
        if (status != KEYFOB_OK) {
            throw std::runtime_error(std::string(keyfob_status_name(status)) + ": " + error.message);
        }
    }

    struct Free {
        void operator()(keyfob_client *client) const { keyfob_client_free(client); }
    };
    std::unique_ptr<keyfob_client, Free> handle;
};

int main(int argc, char **argv) {
    if (argc != 3) {
        std::cerr << "usage: " << argv[0] << " SERVICE PATH\n";
        return 2;
    }
    try {
        std::cout << Client(argv[1]).get(argv[2]);
        return 0;
    } catch (const std::exception &error) {
        std::cerr << error.what() << '\n';
        return 1;
    }
}
