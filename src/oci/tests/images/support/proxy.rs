//! A proxy between pyro and a registry that breaks things on demand, and counts.

use std::{
    io::{BufRead as _, BufReader, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

/// What goes wrong with an answer.
#[derive(Clone, Debug)]
pub enum Fault {
    /// Another answer than the registry's.
    Answer(u16, Vec<(&'static str, String)>, Vec<u8>),
    /// The connection ends after so many bytes of the body.
    Cut(usize),
    /// A bit of this byte of the body is turned.
    Flip(usize),
    /// A body that ends, properly announced, after so many bytes.
    Truncate(usize),
    /// Zeros after the body, properly announced.
    Append(usize),
    /// Nothing comes any more after so many bytes of the body, but the connection stays.
    Stall(usize),
    /// A pause after every so many bytes.
    Slow(usize, Duration),
}

impl Fault {
    pub fn status(code: u16) -> Self {
        Self::Answer(code, Vec::new(), b"{}".to_vec())
    }
}

/// A request that was made.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    pub path: String,
    pub range: Option<String>,
    /// Bytes of the body that were sent back.
    pub sent: usize,
}

struct Rule {
    path: String,
    times: usize,
    fault: Fault,
}

struct Shared {
    upstream: String,
    rules: Mutex<Vec<Rule>>,
    requests: Mutex<Vec<Request>>,
    ended: AtomicBool,
}

/// A running proxy. It ends with the value.
pub struct Proxy {
    address: String,
    shared: Arc<Shared>,
}

impl Proxy {
    pub fn before(upstream: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let shared = Arc::new(Shared {
            upstream: upstream.to_owned(),
            rules: Mutex::default(),
            requests: Mutex::default(),
            ended: AtomicBool::new(false),
        });
        let serving = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if serving.ended.load(Ordering::Relaxed) {
                    return;
                }
                let shared = Arc::clone(&serving);
                // A client that goes away is its own business.
                thread::spawn(move || serve(&shared, client).err());
            }
        });
        Self { address, shared }
    }

    /// Host and port.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Makes the next `times` requests whose path contains `path` fail.
    pub fn fail(&self, path: &str, times: usize, fault: Fault) {
        self.shared.rules.lock().unwrap().push(Rule { path: path.to_owned(), times, fault });
    }

    /// Everything works again.
    pub fn mend(&self) {
        self.shared.rules.lock().unwrap().clear();
    }

    /// The requests so far whose path contains `path`.
    pub fn requests(&self, path: &str) -> Vec<Request> {
        let requests = self.shared.requests.lock().unwrap();
        requests.iter().filter(|request| request.path.contains(path)).cloned().collect()
    }

    /// Forgets the requests so far.
    pub fn forget(&self) {
        self.shared.requests.lock().unwrap().clear();
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Relaxed);
        let _woken = TcpStream::connect(&self.address);
    }
}

/// First line and other lines of a message.
fn head(stream: &mut BufReader<TcpStream>) -> std::io::Result<(String, Vec<String>)> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        match line.trim_end() {
            "" => return Ok((lines.remove(0), lines)),
            line => lines.push(line.to_owned()),
        }
    }
}

fn value(lines: &[String], name: &str) -> Option<String> {
    let found =
        lines.iter().filter_map(|line| line.split_once(':')).find(|(key, _)| key.eq_ignore_ascii_case(name));
    found.map(|(_, value)| value.trim().to_owned())
}

/// One request on one connection.
fn serve(shared: &Shared, client: TcpStream) -> std::io::Result<()> {
    let mut reader = BufReader::new(client.try_clone()?);
    let (first, lines) = head(&mut reader)?;
    let mut words = first.split(' ').map(str::to_owned);
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let fault = {
        let mut rules = shared.rules.lock().unwrap();
        let rule = rules.iter_mut().find(|rule| rule.times > 0 && path.contains(&rule.path));
        rule.map(|rule| {
            rule.times -= 1;
            rule.fault.clone()
        })
    };
    let request = Request { method, path, range: value(&lines, "range"), sent: 0 };
    let number = {
        let mut requests = shared.requests.lock().unwrap();
        requests.push(request.clone());
        requests.len() - 1
    };
    let sent = |bytes: usize| {
        if let Some(request) = shared.requests.lock().unwrap().get_mut(number) {
            request.sent += bytes;
        }
    };
    if let Some(Fault::Answer(code, headers, body)) = &fault {
        return answer(client, &request.method, *code, headers, body);
    }
    let mut upstream = TcpStream::connect(&shared.upstream)?;
    let kept = lines.iter().filter(|line| !line.to_lowercase().starts_with("connection:"));
    let kept: String = kept.map(|line| format!("{line}\r\n")).collect();
    write!(upstream, "{first}\r\n{kept}Connection: close\r\n\r\n")?;
    let mut upstream = BufReader::new(upstream);
    let (status, lines) = head(&mut upstream)?;
    let length: usize = value(&lines, "content-length").and_then(|it| it.parse().ok()).unwrap_or(0);
    let announced = match fault {
        Some(Fault::Truncate(most)) => length.min(most),
        Some(Fault::Append(more)) => length + more,
        _ => length,
    };
    let dropped = ["content-length:", "connection:"];
    let kept = lines.iter().filter(|line| !dropped.iter().any(|it| line.to_lowercase().starts_with(it)));
    let kept: String = kept.map(|line| format!("{line}\r\n")).collect();
    let mut client = client;
    write!(client, "{status}\r\n{kept}Content-Length: {announced}\r\nConnection: close\r\n\r\n")?;
    if request.method == "HEAD" {
        return Ok(());
    }
    let (most, piece, pause) = match fault {
        Some(Fault::Cut(most) | Fault::Truncate(most) | Fault::Stall(most)) => {
            (most, 16 << 10, Duration::ZERO)
        }
        Some(Fault::Slow(piece, pause)) => (usize::MAX, piece, pause),
        _ => (usize::MAX, 64 << 10, Duration::ZERO),
    };
    let mut body = upstream.take(most as u64);
    let mut buffer = vec![0; piece];
    let mut done = 0;
    loop {
        let read = body.read(&mut buffer)?;
        if read == 0 {
            break;
        }
        if let Some(Fault::Flip(at)) = fault
            && (done..done + read).contains(&at)
        {
            buffer[at - done] ^= 1;
        }
        client.write_all(&buffer[..read])?;
        done += read;
        sent(read);
        thread::sleep(pause);
    }
    match fault {
        Some(Fault::Append(more)) => client.write_all(&vec![0; more])?,
        // Until the client gives up.
        Some(Fault::Stall(_)) => drop(client.read(&mut [0])),
        _ => {}
    }
    client.shutdown(Shutdown::Both)
}

fn answer(
    mut client: TcpStream,
    method: &str,
    code: u16,
    headers: &[(&str, String)],
    body: &[u8],
) -> std::io::Result<()> {
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let length = body.len();
    write!(
        client,
        "HTTP/1.1 {code} Fault\r\n{headers}Content-Length: {length}\r\nConnection: close\r\n\r\n"
    )?;
    if method != "HEAD" {
        client.write_all(body)?;
    }
    client.shutdown(Shutdown::Both)
}
