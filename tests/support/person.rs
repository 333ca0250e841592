//! A person with a browser that has no window.

use std::collections::BTreeMap;

use keyfob::ureq::{Agent, http};

/// Keeps cookies, follows redirects and sends the form of each page.
pub struct Person {
    agent: Agent,
    cookies: BTreeMap<String, String>,
    is_willing: bool,
}

impl Person {
    /// Allows whatever a page asks for.
    pub fn willing() -> Self {
        let config = Agent::config_builder().http_status_as_error(false).max_redirects(0).proxy(None).build();
        Self { agent: Agent::new_with_config(config), cookies: BTreeMap::new(), is_willing: true }
    }

    /// Allows nothing.
    pub fn unwilling() -> Self {
        Self { is_willing: false, ..Self::willing() }
    }

    /// Opens a URL and answers page after page. Returns the last one.
    #[track_caller]
    pub fn open(&mut self, url: &str) -> String {
        let mut next = (url.to_owned(), None);
        for _ in 0..20 {
            let (url, form) = next;
            let answer = self.send(&url, form);
            let location = answer.headers().get("location").map(|it| it.to_str().unwrap().to_owned());
            let page = answer.into_body();
            next = match location {
                Some(location) => (absolute(&url, &location), None),
                None => match self.answer(&page) {
                    Some((action, form)) => (absolute(&url, &action), form),
                    None => return page,
                },
            };
        }
        panic!("the pages never end: {next:?}");
    }

    fn send(&mut self, url: &str, form: Option<String>) -> http::Response<String> {
        let cookies: Vec<_> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let request = http::Request::builder().uri(url).header("cookie", cookies.join("; "));
        let mut answer = match form {
            None => self.agent.run(request.body(()).unwrap()),
            Some(form) => {
                let request =
                    request.method("POST").header("content-type", "application/x-www-form-urlencoded");
                self.agent.run(request.body(form).unwrap())
            }
        }
        .unwrap();
        for cookie in answer.headers().get_all("set-cookie") {
            let pair = cookie.to_str().unwrap().split(';').next().unwrap();
            let (name, value) = pair.split_once('=').unwrap();
            self.cookies.insert(name.to_owned(), value.to_owned());
        }
        self.cookies.retain(|_, value| !value.is_empty());
        let text = answer.body_mut().read_to_string().unwrap();
        answer.map(|_| text)
    }

    /// Where to go from a page, and the form to send. `None` at the end.
    fn answer(&mut self, page: &str) -> Option<(String, Option<String>)> {
        let form = page.split_once("<form")?.1;
        let inputs = form.split("<input").skip(1).map(|input| input.split('>').next().unwrap());
        let typed = "ada".to_owned();
        let mut fields: Vec<_> = inputs
            .filter_map(|input| {
                Some((attribute(input, "name")?, attribute(input, "value").unwrap_or(typed.clone())))
            })
            .collect();
        if fields.iter().any(|(name, value)| name == "user_code" && *value == typed) {
            return None; // The page asks for a code once more.
        }
        if !self.is_willing {
            if let Some(link) = page.split("href=\"").find_map(|rest| rest.split_once("/abort\"")) {
                return Some((format!("{}/abort", link.0), None));
            }
            if page.contains("name=\"abort\"") {
                fields.push(("abort".to_owned(), "yes".to_owned()));
            }
        }
        let fields: Vec<_> = fields.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
        Some((attribute(form, "action")?, Some(fields.join("&"))))
    }
}

fn attribute(tag: &str, name: &str) -> Option<String> {
    let value = tag.split_once(&format!(" {name}=\""))?.1.split_once('"')?.0;
    Some(value.replace("&amp;", "&"))
}

fn absolute(base: &str, link: &str) -> String {
    match link {
        "" => base.to_owned(),
        path if path.starts_with('/') => base.splitn(4, '/').take(3).collect::<Vec<_>>().join("/") + path,
        url => url.to_owned(),
    }
}
