//! The site's private storage: a pool of files, opened in advance, which one tab at a time owns. Other tabs work in
//! memory, with the same operations.

use super::failure::{name, words};
use super::handle::Handle;
use crate::platform::disk::{ByteStore, Disk};
use js_sys::{Array, AsyncIterator, Date, Promise, Reflect};
use std::cell::RefCell;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::{JsFuture, future_to_promise};
use web_sys::{
    FileSystemDirectoryHandle, FileSystemFileHandle, FileSystemGetDirectoryOptions, FileSystemGetFileOptions, FileSystemSyncAccessHandle, StorageManager,
    WorkerGlobalScope,
};

/// The kind of storage in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Mounted {
    /// Private storage, which persists.
    Private,
    /// Memory, because another tab has the private storage; files are lost with the page.
    Elsewhere,
    /// Memory, because there is no private storage, for this reason.
    Unavailable(String),
}

struct StorageState {
    disk: Disk,
    /// The pool's directory, with private storage.
    pool: Option<FileSystemDirectoryHandle>,
    /// The time of the last check that the storage still exists, in milliseconds.
    checked: f64,
    /// True while files are being created or removed.
    busy: bool,
}

/// The pool's directory.
const POOL: &str = "signet";
/// With fewer free files than this, more are created.
const MIN_FREE: usize = 48;
/// The number of free files after creating or removing some.
const TARGET_FREE: usize = 64;
/// With more free files than this, some are removed.
const MAX_FREE: usize = 256;
/// The time in milliseconds that a page may take to close its files.
const OPEN_TIMEOUT: f64 = 2000.0;
/// The interval between checks that the storage was not cleared, in milliseconds.
const CHECK_INTERVAL: f64 = 5000.0;

thread_local! {
    static MOUNTED: RefCell<Mounted> = const { RefCell::new(Mounted::Unavailable(String::new())) };
    static STATE: RefCell<StorageState> = RefCell::new(StorageState { disk: Disk::in_memory(now), pool: None, checked: 0.0, busy: false });
}

fn now() -> u64 {
    Date::now() as u64
}

/// Calls `work` with the disk.
pub(super) fn with<T>(work: impl FnOnce(&mut Disk) -> T) -> T {
    STATE.with_borrow_mut(|state| work(&mut state.disk))
}

/// The browser's storage manager; `None` if pages cannot store anything.
pub(super) fn manager() -> Option<StorageManager> {
    let navigator = js_sys::global().unchecked_into::<WorkerGlobalScope>().navigator();
    let manager = Reflect::get(&navigator, &"storage".into()).ok()?;
    let has = |method: &str| Reflect::get(&manager, &method.into()).is_ok_and(|method| method.is_function());
    has("getDirectory").then(|| manager.clone().unchecked_into())
}

/// A directory in the root of the private file system.
pub(super) async fn directory(name: &str) -> Result<FileSystemDirectoryHandle, JsValue> {
    let manager = manager().ok_or_else(|| JsValue::from_str("this browser has no private file system here"))?;
    let root: FileSystemDirectoryHandle = JsFuture::from(manager.get_directory()).await?.unchecked_into();
    let options = FileSystemGetDirectoryOptions::new();
    options.set_create(true);
    Ok(JsFuture::from(root.get_directory_handle_with_options(name, &options)).await?.unchecked_into())
}

/// Lists the names in a directory.
pub(super) async fn names(directory: &FileSystemDirectoryHandle) -> Result<Vec<String>, JsValue> {
    let keys: AsyncIterator = directory.keys();
    let mut names = Vec::new();
    loop {
        let next = JsFuture::from(keys.next()?).await?;
        if Reflect::get(&next, &"done".into())?.is_truthy() {
            return Ok(names);
        }
        names.extend(Reflect::get(&next, &"value".into())?.as_string());
    }
}

/// Waits for a number of milliseconds.
pub(super) async fn sleep_ms(milliseconds: i32) {
    let scope = js_sys::global().unchecked_into::<WorkerGlobalScope>();
    let promise = Promise::new(&mut |resolve, _| {
        // Without a timer, there is no wait.
        let _ = scope.set_timeout_with_callback_and_timeout_and_arguments_0(&resolve, milliseconds);
    });
    let _ = JsFuture::from(promise).await;
}

/// Opens or creates a file in a directory.
pub(super) async fn file(directory: &FileSystemDirectoryHandle, name: &str, create: bool) -> Result<FileSystemFileHandle, JsValue> {
    let options = FileSystemGetFileOptions::new();
    options.set_create(create);
    Ok(JsFuture::from(directory.get_file_handle_with_options(name, &options)).await?.unchecked_into())
}

/// Opens a file, waiting for another user to close it.
pub(super) async fn open(directory: &FileSystemDirectoryHandle, name: &str, until: f64) -> Result<FileSystemSyncAccessHandle, JsValue> {
    let file = file(directory, name, true).await?;
    loop {
        match JsFuture::from(file.create_sync_access_handle()).await {
            Ok(handle) => return Ok(handle.unchecked_into()),
            Err(exception) if self::name(&exception) == "NoModificationAllowedError" && Date::now() < until => sleep_ms(50).await,
            Err(exception) => return Err(exception),
        }
    }
}

/// Opens many files at once; if one fails, the others are closed.
async fn open_all(directory: &FileSystemDirectoryHandle, names: Vec<String>, until: f64) -> Result<Vec<Handle>, JsValue> {
    let promises = Array::new();
    for name in names {
        let directory = directory.clone();
        promises.push(&future_to_promise(async move { open(&directory, &name, until).await.map(JsValue::from) }));
    }
    let settled: Array = JsFuture::from(Promise::all_settled(&promises)).await?.unchecked_into();
    let (mut handles, mut failed) = (Vec::new(), None);
    for result in settled.iter() {
        match Reflect::get(&result, &"value".into())? {
            handle if handle.is_object() => handles.push(Handle(handle.unchecked_into())),
            _ => failed = Some(Reflect::get(&result, &"reason".into())?),
        }
    }
    failed.map_or(Ok(handles), Err)
}

/// The kind of storage since the last [`mount`].
pub(super) fn mounted() -> Mounted {
    MOUNTED.with_borrow(Mounted::clone)
}

/// Acquires the private storage for this page.
pub(super) async fn mount() {
    let mounted = try_mount().await;
    MOUNTED.set(mounted);
}

async fn try_mount() -> Mounted {
    match acquire().await {
        Ok(Ok(state)) => {
            STATE.set(state);
            grow().await;
            Mounted::Private
        }
        Ok(Err(why)) => Mounted::Unavailable(format!("cannot use the browser's private storage: {why}")),
        Err(exception) if name(&exception) == "NoModificationAllowedError" => Mounted::Elsewhere,
        Err(exception) => Mounted::Unavailable(format!("the browser has no private storage for this page ({})", words(exception))),
    }
}

async fn acquire() -> Result<Result<StorageState, String>, JsValue> {
    let pool = directory(POOL).await?;
    let until = Date::now() + OPEN_TIMEOUT;
    // The owner of the index owns the other files, too.
    let mut heads = Vec::new();
    for name in ["index-0", "index-1"] {
        heads.push(Box::new(Handle(open(&pool, name, until).await?)) as Box<dyn ByteStore>);
    }
    let heads = heads.try_into().unwrap_or_else(|_| unreachable!("two were opened"));
    let numbers: Vec<u32> = names(&pool).await?.iter().filter_map(|name| name.parse().ok()).collect();
    let handles = open_all(&pool, numbers.iter().map(u32::to_string).collect(), until).await?;
    let stores = handles.into_iter().map(|handle| Box::new(handle) as Box<dyn ByteStore>);
    Ok(Disk::mount(heads, numbers.into_iter().zip(stores).collect(), now).map(|disk| StorageState {
        disk,
        pool: Some(pool),
        checked: Date::now(),
        busy: false,
    }))
}

/// Creates files for the next writes, removes surplus ones, and checks that the storage still exists. To be called
/// regularly where waiting is possible.
pub(super) async fn grow() {
    let check = |state: &mut StorageState| {
        let pool = state.pool.clone().filter(|_| !state.busy)?;
        let check = Date::now() - state.checked > CHECK_INTERVAL;
        if check {
            state.checked = Date::now();
            state.disk.empty_unused();
        }
        // Closed files are opened again.
        let reopened = state.disk.remove_large();
        let free = state.disk.free();
        let more = if free < MIN_FREE { state.disk.numbers(TARGET_FREE - free) } else { reopened };
        let less = if free > MAX_FREE { state.disk.shrink(TARGET_FREE) } else { Vec::new() };
        state.busy = check || !more.is_empty() || !less.is_empty();
        state.busy.then_some((pool, check, more, less))
    };
    if let Some((pool, check, more, less)) = STATE.with_borrow_mut(check) {
        apply(&pool, check, more, less).await;
        STATE.with_borrow_mut(|state| state.busy = false);
    }
}

async fn apply(pool: &FileSystemDirectoryHandle, check: bool, more: Vec<u32>, less: Vec<u32>) {
    if check && file(pool, "index-0", false).await.is_err_and(|exception| name(&exception) == "NotFoundError") {
        with(|disk| {
            disk.disable("the browser's private storage was cleared while the page was open, and its files are lost. Reload the page to start over".into())
        });
        return;
    }
    // Failures are retried at the next call.
    let made = open_all(pool, more.iter().map(u32::to_string).collect(), 0.0).await;
    if let Ok(handles) = made {
        with(|disk| more.into_iter().zip(handles).for_each(|(number, handle)| disk.add(number, Box::new(handle))));
    }
    for number in less {
        let _ = JsFuture::from(pool.remove_entry(&number.to_string())).await;
    }
}
